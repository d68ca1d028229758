package io.millrace.router.node;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import io.millrace.router.core.RouterCore;
import io.millrace.router.core.RouterEvent;
import io.millrace.shared.telemetry.Telemetry;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** The router's measures (docs/metrics.md has the list). Observed by the router's thread, read by any. */
final class RouterMetrics {

    private static final Map<String, String> DESCRIPTIONS = Map.of(
            "millrace.router.requests.admitted", "Requests admitted",
            "millrace.router.requests.rejected", "Requests rejected",
            "millrace.router.requests.ended", "Requests that ended, by status",
            "millrace.router.requests.dead.lettered", "Requests that crashed every worker that ran them",
            "millrace.router.attempts.lost", "Attempts that were lost, by cause",
            "millrace.router.fences", "Fences written, by cause",
            "millrace.router.suspicions", "Nodes taken for lost, or heard again");

    private final MeterRegistry registry;
    private final Tags node;
    private final Set<String> models = ConcurrentHashMap.newKeySet();
    private final AtomicLong open = new AtomicLong();
    private final AtomicLong owned = new AtomicLong();
    private final Map<String, AtomicLong> queued = new ConcurrentHashMap<>();
    private final Map<String, AtomicLong> queuedTokens = new ConcurrentHashMap<>();

    RouterMetrics(MeterRegistry registry, String router) {
        this.registry = registry;
        this.node = Tags.of("router", router);
        Gauge.builder("millrace.router.requests.open", open, AtomicLong::doubleValue)
                .description("Requests admitted or waiting that this router looks after")
                .tags(node)
                .register(registry);
        Gauge.builder("millrace.router.partitions.owned", owned, AtomicLong::doubleValue)
                .description("Partitions of requests that this router owns")
                .tags(node)
                .register(registry);
    }

    /** Takes a snapshot of what only the router's thread may look at. */
    void sample(RouterCore core, long nowMs) {
        open.set(core.openRequests());
        owned.set(core.owned().size());
        for (RouterCore.ModelLoad load : core.load(nowMs)) {
            gauge(queued, "millrace.router.requests.queued", "Requests that wait in the router", load.model())
                    .set(load.queued());
            gauge(queuedTokens, "millrace.router.tokens.queued", "Their estimated tokens", load.model())
                    .set(load.queuedTokens());
        }
    }

    private AtomicLong gauge(Map<String, AtomicLong> gauges, String name, String description, String model) {
        return gauges.computeIfAbsent(model, key -> {
            var value = new AtomicLong();
            Gauge.builder(name, value, AtomicLong::doubleValue)
                    .description(description)
                    .tags(node.and("model_name", key))
                    .register(registry);
            return value;
        });
    }

    void observe(RouterEvent event) {
        switch (event) {
            case RouterEvent.Admitted e -> {
                known(e.model());
                count("millrace.router.requests.admitted", model(e.model()));
            }
            case RouterEvent.Rejected e ->
                count("millrace.router.requests.rejected", model(e.model()).and("code", e.code()));
            case RouterEvent.Queued e -> {}
            case RouterEvent.Routed e -> {
                Timer waited = Timer.builder("millrace.request.queue.time")
                        .description("Time in the router's queue")
                        .tags(model(e.model()))
                        .serviceLevelObjectives(
                                Duration.ofMillis(1),
                                Duration.ofMillis(5),
                                Duration.ofMillis(20),
                                Duration.ofMillis(100),
                                Duration.ofMillis(500),
                                Duration.ofSeconds(2),
                                Duration.ofSeconds(10),
                                Duration.ofSeconds(60))
                        .register(registry);
                Telemetry.fromProto(e.trace())
                        .wrap(() -> waited.record(Duration.ofMillis(Math.max(0, e.atMs() - e.queuedMs()))))
                        .run();
            }
            case RouterEvent.Fenced e ->
                count("millrace.router.fences", model(e.model()).and("cause", e.cause()));
            case RouterEvent.AttemptLost e ->
                count("millrace.router.attempts.lost", model(e.model()).and("cause", e.cause()));
            case RouterEvent.Ended e ->
                count("millrace.router.requests.ended", model(e.model()).and("status", e.status()));
            case RouterEvent.DeadLettered e -> count("millrace.router.requests.dead.lettered", model(e.model()));
            case RouterEvent.NodeSuspected e ->
                count(
                        "millrace.router.suspicions",
                        node.and("kind", e.kind(), "suspected", Boolean.toString(e.suspected())));
            case RouterEvent.Ownership e -> {}
        }
    }

    /** What is rare exists from a model's first request on, at 0: Prometheus sees no increase in a series that begins at 1. */
    private void known(String name) {
        if (models.add(name)) {
            for (String cause : List.of("worker_lost", "yield")) {
                counter("millrace.router.attempts.lost", model(name).and("cause", cause));
                counter("millrace.router.fences", model(name).and("cause", cause));
            }
            counter("millrace.router.requests.dead.lettered", model(name));
        }
    }

    private Tags model(String name) {
        return node.and("model_name", name);
    }

    private void count(String name, Tags tags) {
        counter(name, tags).increment();
    }

    private Counter counter(String name, Tags tags) {
        return Counter.builder(name)
                .description(DESCRIPTIONS.get(name))
                .tags(tags)
                .register(registry);
    }
}
