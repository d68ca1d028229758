package io.millrace.shared.telemetry;

import io.opentelemetry.sdk.trace.IdGenerator;
import org.jspecify.annotations.Nullable;

/** Random ids, but for the next span of a thread that has chosen one. Thread-safe. */
final class ChosenSpanIds implements IdGenerator {

    private final IdGenerator random = IdGenerator.random();
    private final ThreadLocal<@Nullable String> chosen = new ThreadLocal<>();

    /** The next span that this thread begins gets that id. */
    void choose(String spanId) {
        chosen.set(spanId);
    }

    @Override
    public String generateSpanId() {
        String id = chosen.get();
        if (id == null) {
            return random.generateSpanId();
        }
        chosen.remove();
        return id;
    }

    @Override
    public String generateTraceId() {
        return random.generateTraceId();
    }
}
