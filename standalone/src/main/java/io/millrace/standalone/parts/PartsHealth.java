package io.millrace.standalone.parts;

import java.util.List;
import java.util.function.Supplier;
import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;

/** Readiness: up when every part of this process is ready. */
final class PartsHealth extends AbstractHealthIndicator {

    private final Supplier<List<Part>> parts;

    PartsHealth(Supplier<List<Part>> parts) {
        this.parts = parts;
    }

    @Override
    protected void doHealthCheck(Health.Builder builder) {
        boolean all = true;
        for (Part part : parts.get()) {
            boolean ready = part.isReady();
            all &= ready;
            builder.withDetail(part.name(), ready ? "ready" : "not ready");
        }
        builder.status(all ? "UP" : "OUT_OF_SERVICE");
    }
}
