package io.millrace.router.node;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.router.RouterProperties;
import io.millrace.router.core.Effect;
import io.millrace.router.core.RouterCore;
import io.millrace.router.core.RouterCoreConfig;
import io.millrace.router.core.RouterEvent;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.topic.Topic;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.slf4j.event.Level;

/**
 * One router: a reader's thread on which {@link RouterCore} takes every input, and whose effects go to the log.
 *
 * <p>Life: {@link #start}, then {@link #leave} (gives its partitions to the others) and {@link #close}; {@code close} alone is what
 * a crash looks like. The log belongs to the caller. Thread-safe.
 */
public final class RouterNode implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(RouterNode.class);
    private static final long SAMPLE_MS = 250;

    private final RouterCoreConfig config;
    private final Log log;
    private final Clock clock;
    private final RouterCore core;
    private final RouterMetrics metrics;
    private final RouterSpans spans;
    private final LivenessConnections liveness;
    private final CompletableFuture<Void> ready = new CompletableFuture<>();

    private @Nullable LogReader reader;
    private volatile boolean closed;
    private long sampledMs;

    /**
     * @param deadlineMax longest life of a request
     * @throws io.millrace.shared.error.MillraceException MR-LOG-004 when Kafka does not answer
     */
    public RouterNode(
            RouterProperties properties, Duration deadlineMax, Log log, Telemetry telemetry, MeterRegistry registry) {
        var random = new SecureRandom();
        this.config = properties.core(random.nextLong(), log.partitions(Topic.REQUESTS), deadlineMax);
        this.log = log;
        this.clock = Clock.SYSTEM;
        this.core = new RouterCore(config, random);
        this.metrics = new RouterMetrics(registry, config.node());
        this.spans = new RouterSpans(telemetry);
        this.liveness = new LivenessConnections(
                (worker, incarnation) -> soon(() -> apply(core.onLivenessLost(worker, incarnation, now()))));
    }

    /** Its name in {@code members}. */
    public String node() {
        return config.node();
    }

    /** Begins to read; returns at once. */
    public synchronized void start() {
        if (reader == null) {
            LogReader reading = log.reader(config.node(), new Inputs());
            reader = reading;
            reading.execute(() -> apply(core.start(now())));
            LOG.info("router {} starts; {} partitions", config.node(), config.partitions());
        }
    }

    /** Completes when this router has its first active partition. */
    public CompletableFuture<Void> ready() {
        return ready.copy();
    }

    /** Gives all partitions to the other routers and says so; completes when the log has it, or after 2 s. */
    public CompletableFuture<Void> leave() {
        var said = new CompletableFuture<Void>();
        if (reader == null || closed) {
            said.complete(null);
            return said;
        }
        soon(() -> {
            List<CompletableFuture<Long>> appends = apply(core.leave(now()));
            CompletableFuture.allOf(appends.toArray(new CompletableFuture<?>[0]))
                    .whenComplete((nothing, error) -> said.complete(null));
        });
        return said.completeOnTimeout(null, 2, TimeUnit.SECONDS);
    }

    /** Stops at once, without a word to anybody. */
    @Override
    public void close() {
        closed = true;
        if (reader != null) {
            reader.close();
        }
        liveness.close();
        ready.cancel(false);
    }

    private long now() {
        return clock.wallMs();
    }

    private void soon(Runnable task) {
        hand(LogReader::execute, task);
    }

    private void later(Runnable task) {
        hand(LogReader::executeLater, task);
    }

    private void hand(BiConsumer<LogReader, Runnable> how, Runnable task) {
        LogReader reading = reader;
        if (reading == null || closed) {
            return;
        }
        try {
            how.accept(reading, task);
        } catch (RejectedExecutionException e) {
            LOG.debug("router {} is closed", config.node());
        }
    }

    /** Carries the effects out in order, except that what is only to be told comes last; gives the appends. */
    private List<CompletableFuture<Long>> apply(List<Effect> effects) {
        List<CompletableFuture<Long>> appends = new ArrayList<>();
        for (Effect effect : effects) {
            carryOut(effect, appends);
        }
        for (Effect effect : effects) {
            if (effect instanceof Effect.Observe e) {
                observe(e.event());
            }
        }
        return appends;
    }

    private void carryOut(Effect effect, List<CompletableFuture<Long>> appends) {
        switch (effect) {
            case Effect.Append e -> appends.add(append(e));
            case Effect.StartReading e -> reading().assign(e.topic(), e.partition(), e.fromOffset());
            case Effect.StopReading e -> reading().unassign(e.topic(), e.partition());
            case Effect.ConnectLiveness e -> liveness.connect(e.worker(), e.incarnation(), e.address());
            case Effect.DisconnectLiveness e -> liveness.disconnect(e.worker(), e.incarnation());
            case Effect.Observe e -> {}
        }
    }

    private CompletableFuture<Long> append(Effect.Append e) {
        CompletableFuture<Long> ack = log.append(e.topic(), e.partition(), e.key(), e.value(), e.trace());
        ack.whenComplete((offset, error) -> {
            if (error == null) {
                // Nothing hurries: what comes next waits for the read-back, which wakes the reader by itself.
                later(() -> apply(core.onAppended(e.token(), offset, now())));
            } else {
                soon(() -> apply(core.onAppendFailed(e.token(), now())));
            }
        });
        return ack;
    }

    private LogReader reading() {
        LogReader reading = reader;
        if (reading == null) {
            throw new IllegalStateException("the router has not started");
        }
        return reading;
    }

    private void observe(RouterEvent event) {
        metrics.observe(event);
        spans.observe(event);
        switch (event) {
            case RouterEvent.NodeSuspected e -> suspected(e);
            case RouterEvent.Ownership e ->
                LOG.debug("router {} {} partition {}", config.node(), e.owned() ? "owns" : "gives up", e.partition());
            case RouterEvent.AttemptLost e ->
                // A yield is a worker that drains.
                LOG.atLevel(e.cause().equals("yield") ? Level.DEBUG : Level.INFO)
                        .log("request {}: attempt {} on {} is lost: {}", e.id(), e.attempt(), e.worker(), e.cause());
            case RouterEvent.DeadLettered e -> LOG.warn("request {} is a dead letter: {}", e.id(), e.cause());
            case RouterEvent.Rejected e -> LOG.info("request {} is rejected: {} {}", e.id(), e.status(), e.code());
            case RouterEvent.Admitted e -> LOG.trace("request {} is admitted", e.id());
            case RouterEvent.Queued e -> LOG.trace("request {} is queued", e.id());
            case RouterEvent.Routed e -> LOG.trace("request {} goes to {}", e.id(), e.worker());
            case RouterEvent.Fenced e -> LOG.debug("request {}: fence {}, {}", e.id(), e.attempt(), e.cause());
            case RouterEvent.Ended e -> LOG.trace("request {} has ended: {}", e.id(), e.status());
        }
    }

    private void suspected(RouterEvent.NodeSuspected e) {
        if (e.expected()) {
            LOG.debug("router {}: {} {} is {}", config.node(), e.kind(), e.id(), e.suspected() ? "gone" : "back");
        } else if (e.suspected()) {
            LOG.warn("router {}: {} {} is taken for lost: {}", config.node(), e.kind(), e.id(), e.cause());
        } else {
            LOG.info("router {}: {} {} is heard again", config.node(), e.kind(), e.id());
        }
    }

    /** What the reader's thread brings. */
    private final class Inputs implements LogReader.Listener {

        @Override
        public void onRecord(LogRecord record) {
            apply(core.onRecord(record, now()));
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long position) {
            apply(core.onCaughtUp(topic, partition, position, now()));
        }

        @Override
        public void onTick() {
            long now = now();
            apply(core.onTick(now));
            if (now - sampledMs >= SAMPLE_MS) {
                sampledMs = now;
                metrics.sample(core, now);
                if (!ready.isDone() && core.owned().stream().anyMatch(core::active)) {
                    ready.complete(null);
                }
            }
        }
    }
}
