package io.millrace.worker.journal;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.shared.topic.Topic;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One worker: reads its slot of {@code assignments}, runs what it is given on its models' engines, writes the journals, and tells
 * of itself in {@code workers}.
 *
 * <p>Life: {@link #start} (warm-up, slot, first heartbeat), then {@link #drain} (hand over, last heartbeat) and {@link #close};
 * {@code close} alone is what a crash looks like to the others. Log and engines belong to the caller, who closes them afterwards.
 * Without a confirmed append for the lease it stops all its attempts: others may have fenced them by then. Thread-safe.
 */
public final class WorkerNode implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(WorkerNode.class);
    private static final Duration SLOT_LISTEN = Duration.ofMillis(700);

    private final WorkerConfig config;
    private final Log log;
    /** Without work for that long, a worker that drains takes it that routers have nothing more for it. */
    private static final Duration QUIET = Duration.ofSeconds(1);

    private final List<HostedModel> models;
    private final Telemetry telemetry;
    private final MeterRegistry registry;
    private final Clock clock;
    private final long incarnation;
    private final String id;
    private final ExecutionTable table = new ExecutionTable();
    private final JournalWriter writer;

    /** Take our listeners off the engines. */
    private final List<Runnable> observers = new CopyOnWriteArrayList<>();

    private @Nullable WorkerIdentity identity;
    private @Nullable LivenessListener liveness;
    private @Nullable AssignmentHandler handler;
    private @Nullable LogReader reader;
    private @Nullable Beats beats;
    private @Nullable ScheduledExecutorService timer;
    private volatile boolean draining;
    private volatile boolean finishing;
    private volatile boolean closed;
    /** The last heartbeat is composed: none may follow it. Guarded by this node's beats. */
    private boolean left;

    public WorkerNode(
            WorkerConfig config, Log log, List<HostedModel> models, Telemetry telemetry, MeterRegistry registry) {
        this(config, log, models, telemetry, registry, Clock.SYSTEM);
    }

    WorkerNode(
            WorkerConfig config,
            Log log,
            List<HostedModel> models,
            Telemetry telemetry,
            MeterRegistry registry,
            Clock clock) {
        this.config = config;
        this.log = log;
        this.models = List.copyOf(models);
        this.telemetry = telemetry;
        this.registry = registry;
        this.clock = clock;
        this.incarnation = new SecureRandom().nextLong();
        this.id = config.id().isEmpty()
                ? "worker-" + "%016x".formatted(incarnation).substring(0, 6)
                : config.id();
        this.writer = new JournalWriter(log, clock);
    }

    /**
     * Warms the models up, chooses a slot and joins; returns when the first heartbeat stands in the log, so when it may be given
     * work. Throws MR-WRK-005 (a model fails its warm-up) and the log's errors.
     */
    public synchronized void start() throws InterruptedException {
        for (HostedModel model : models) {
            WarmUp.run(model, clock);
        }
        int slots = log.partitions(Topic.ASSIGNMENTS);
        if (config.slot() >= slots) {
            throw new MillraceException(
                    "MR-WRK-006", "slot %d wanted, but assignments has %d partitions".formatted(config.slot(), slots));
        }
        int slot = config.slot() >= 0 ? config.slot() : SlotChooser.choose(log, id, SLOT_LISTEN, new SecureRandom());
        var self = new WorkerIdentity(id, incarnation, slot);
        identity = self;
        if (config.livenessPort() >= 0) {
            liveness = new LivenessListener(config.livenessHost(), config.livenessPort());
        }
        Map<HostedModel, PrefixHints> hints = new HashMap<>();
        Map<HostedModel, WorkerMetrics> metrics = new HashMap<>();
        for (HostedModel model : models) {
            hints.put(model, new PrefixHints());
            var measures = new WorkerMetrics(registry, id, model);
            metrics.put(model, measures);
            observers.add(model.engine().observe(measures));
            observers.add(model.engine().observe(new StepSpans(telemetry, table, clock, id, model.name())));
        }
        var handling = new AssignmentHandler(
                self, models, table, writer, new BodyReader(log, id, clock), clock, telemetry, metrics, hints);
        handler = handling;
        beats = new Beats(self, models, hints, table, liveness == null ? "" : liveness.address(), clock);
        readSlot(handling, slot);
        timer = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().name(id + "-beats").daemon().factory());
        CompletableFuture<Long> first = beat();
        long every = config.beatInterval().toMillis();
        timer.scheduleAtFixedRate(this::tick, every, every, TimeUnit.MILLISECONDS);
        first.handle((offset, error) -> offset).join();
        LOG.info("worker {} serves {} on slot {}", id, names(), slot);
    }

    private String names() {
        return String.join(", ", models.stream().map(HostedModel::name).toList());
    }

    private void readSlot(AssignmentHandler handling, int slot) throws InterruptedException {
        var ready = new CountDownLatch(1);
        LogReader reading = log.reader(id + "-assignments", new LogReader.Listener() {
            @Override
            public void onRecord(io.millrace.shared.log.LogRecord record) {
                handling.onAssignment(record);
            }

            @Override
            public void onCaughtUp(Topic topic, int partition, long position) {
                table.advance(position);
                ready.countDown();
            }

            @Override
            public boolean isPunctual() {
                return false;
            }
        });
        reader = reading;
        reading.assign(Topic.ASSIGNMENTS, slot, LogReader.END);
        ready.await();
    }

    /** Who this worker is; throws IllegalStateException before {@link #start}. */
    public WorkerIdentity identity() {
        WorkerIdentity self = identity;
        if (self == null) {
            throw new IllegalStateException("the worker has not started");
        }
        return self;
    }

    /** Executions that run or wait here. */
    public int executions() {
        return table.size();
    }

    /** It is in the cluster and takes work. */
    public boolean isReady() {
        return timer != null && !draining && !closed && !writer.silentFor(config.lease());
    }

    private CompletableFuture<Long> beat() {
        return beat(false);
    }

    /** Appends a heartbeat, unless the last one stands in the log already. */
    private CompletableFuture<Long> beat(boolean last) {
        Beats composing = beats;
        if (composing == null) {
            throw new IllegalStateException("the worker has not started");
        }
        synchronized (composing) {
            if (left) {
                return CompletableFuture.completedFuture(-1L);
            }
            left = last;
            return writer.beat(id, composing.next(draining, finishing, last));
        }
    }

    private void tick() {
        try {
            if (closed) {
                return;
            }
            if (writer.silentFor(config.lease())) {
                fence();
            }
            CompletableFuture<Long> ack = beat();
            if (ack.isCompletedExceptionally()) {
                LOG.debug("a heartbeat of {} did not go out", id);
            }
        } catch (RuntimeException e) {
            LOG.error("worker {}: its heartbeat failed; the next one follows", id, e);
        }
    }

    /** The log is out of reach for the lease: others may have fenced our attempts, so they stop. */
    private void fence() {
        List<Execution> running =
                table.all().stream().filter(each -> !each.isOver()).toList();
        if (!running.isEmpty()) {
            LOG.warn(
                    "worker {} stops its {} attempts: the log has confirmed nothing for {} s",
                    id,
                    running.size(),
                    config.lease().toSeconds());
            running.forEach(each -> each.giveBack("lease"));
        }
    }

    /**
     * Hands everything over: what has not begun at once, what runs when it has not ended within the grace. Until then it takes what was
     * admitted for weights that no other worker has: so weights are replaced without a request lost. Completes when nothing
     * is left and the last heartbeat, which says so, stands in the log. Then {@link #close}.
     */
    public CompletableFuture<Void> drain() {
        var done = new CompletableFuture<Void>();
        finishing = true;
        draining = true;
        AssignmentHandler handling = handler;
        if (handling == null || beats == null || closed) {
            done.complete(null);
            return done;
        }
        LOG.info("worker {} drains; {} attempts", id, table.size());
        handling.drain();
        Thread.ofVirtual().name(id + "-drain").start(() -> {
            try {
                beat();
                awaitEmpty(config.drainGrace(), QUIET);
                finishing = false;
                handling.handOver();
                awaitEmpty(Duration.ofSeconds(5), Duration.ZERO);
                beat(true).get(2, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            } catch (TimeoutException | java.util.concurrent.ExecutionException | RuntimeException e) {
                LOG.warn("worker {}: its last heartbeat is not confirmed: {}", id, e.toString());
            } finally {
                done.complete(null);
            }
        });
        return done;
    }

    /** Until nothing has been here for that long. */
    private void awaitEmpty(Duration most, Duration quiet) throws InterruptedException {
        long end = clock.nanos() + most.toNanos();
        long busy = clock.nanos();
        while (clock.nanos() < end && !closed && (table.size() > 0 || clock.nanos() - busy < quiet.toNanos())) {
            if (table.size() > 0) {
                busy = clock.nanos();
            }
            Thread.sleep(10);
        }
    }

    /** Stops at once, without a word to anybody; running executions are cancelled in the engines. */
    @Override
    public void close() {
        if (closed) {
            return;
        }
        closed = true;
        observers.forEach(Runnable::run);
        if (timer != null) {
            timer.shutdownNow();
        }
        if (liveness != null) {
            liveness.close();
        }
        if (reader != null) {
            reader.close();
        }
        if (handler != null) {
            handler.close();
        }
    }
}
