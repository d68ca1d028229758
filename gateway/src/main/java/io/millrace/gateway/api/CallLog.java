package io.millrace.gateway.api;

import io.millrace.gateway.node.CallObserver.Outcome;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Progress;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.spi.LoggingEventBuilder;

/** One line in the log for each call that is over: ids, counts and times, and never a text of prompt or answer. */
final class CallLog {

    private static final Logger LOG = LoggerFactory.getLogger("io.millrace.requests.gateway");

    /** Of {@link System#nanoTime}; {@code first} is 0 when no token came. */
    record Times(long start, long first) {}

    private final String route;
    private final String traceId;

    CallLog(String route, String traceId) {
        this.route = route;
        this.traceId = traceId;
    }

    void ended(Call call, String tenant, Outcome outcome, @Nullable ApiError error, Progress progress, Times times) {
        if (!LOG.isInfoEnabled()) {
            return;
        }
        LoggingEventBuilder line = line(outcome.name().toLowerCase(Locale.ROOT), tenant, error)
                .addKeyValue("request", call.id().text())
                .addKeyValue("model", call.first().getModel())
                .addKeyValue("stream", call.shape().getStream())
                .addKeyValue("prompt_tokens", progress.promptTokens())
                .addKeyValue("output_tokens", progress.outputTokens());
        if (times.first() != 0) {
            line = line.addKeyValue("first_token_ms", (times.first() - times.start()) / 1_000_000);
        }
        if (outcome == Outcome.COMPLETE && progress.choices() > 0) {
            line = line.addKeyValue("finish", progress.finishReason(0));
        }
        line.addKeyValue("total_ms", since(times.start())).log("request");
    }

    /** It ended before it was sent on. */
    void refused(String tenant, @Nullable ApiError error, long startNanos) {
        if (LOG.isInfoEnabled()) {
            line("refused", tenant, error)
                    .addKeyValue("total_ms", since(startNanos))
                    .log("request");
        }
    }

    /**
     * A client came back to an answer by its id.
     *
     * @param kind what it wanted, such as {@code stream} or {@code cancel}
     * @param request the answer's id; empty when there is none of that name
     */
    void resumed(
            String kind, String request, String tenant, String outcome, @Nullable ApiError error, long startNanos) {
        if (LOG.isInfoEnabled()) {
            line(outcome, tenant, error)
                    .addKeyValue("resume", kind)
                    .addKeyValue("request", request)
                    .addKeyValue("total_ms", since(startNanos))
                    .log("request");
        }
    }

    private LoggingEventBuilder line(String outcome, String tenant, @Nullable ApiError error) {
        LoggingEventBuilder line = LOG.atInfo()
                .addKeyValue("outcome", outcome)
                .addKeyValue("route", route)
                .addKeyValue("trace_id", traceId)
                .addKeyValue("tenant", tenant);
        return error == null
                ? line.addKeyValue("status", outcome.equals("refused") ? 499 : 200)
                : line.addKeyValue("status", error.status()).addKeyValue("error", error.code());
    }

    private static long since(long nanos) {
        return (System.nanoTime() - nanos) / 1_000_000;
    }
}
