package io.millrace.gateway.config;

import io.millrace.gateway.node.ClusterView;
import org.springframework.boot.health.contributor.Health;
import org.springframework.boot.health.contributor.HealthIndicator;

/** Whether calls can be served: Kafka gives this gateway's own beats back, and a router is alive. */
public final class GatewayHealth implements HealthIndicator {

    private final ClusterView view;
    private final long silenceMsMax;

    GatewayHealth(ClusterView view, long silenceMsMax) {
        this.view = view;
        this.silenceMsMax = silenceMsMax;
    }

    boolean ready() {
        return kafka() && view.routers() > 0;
    }

    private boolean kafka() {
        long age = view.ownBeatAgeMs();
        return age >= 0 && age <= silenceMsMax;
    }

    @Override
    public Health health() {
        return (ready() ? Health.up() : Health.down())
                .withDetail("kafka", kafka() ? "reachable" : "silent")
                .withDetail("routers", view.routers())
                .withDetail("models", view.models().size())
                .build();
    }
}
