package io.millrace.gateway.batch;

import io.millrace.gateway.node.GatewayNode;
import io.millrace.shared.log.Clock;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.Disposable;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Scheduler;
import reactor.core.scheduler.Schedulers;

/**
 * Runs the batches that fall to this gateway among the live ones. Two that run the same one for a while do no harm. Its state belongs
 * to its own thread.
 */
public final class BatchRunner implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(BatchRunner.class);
    private static final Duration TICK = Duration.ofMillis(100);
    private static final int REPORT_TICKS = 10;
    private static final int PRUNE_TICKS = 600;
    private static final long AGAIN_NANOS = 2_000_000_000L;

    private final Registry registry;
    private final FileStore store;
    private final GatewayNode node;
    private final Clock clock;
    private final BatchRun.Limits limits;
    private final Scheduler scheduler = Schedulers.newSingle("batches", true);
    private final Map<String, Running> running = new HashMap<>();
    private @Nullable BatchLines lines;
    private int ticks;

    private static final class Running {
        private final BatchRun run;
        private @Nullable Disposable subscription;
        private @Nullable Disposable report;
        private boolean ended;
        private long endedNanos;

        Running(BatchRun run) {
            this.run = run;
        }
    }

    /**
     * @param lineBytesMax of a line of input
     * @param concurrent lines of a batch in flight; 0: this gateway runs none
     */
    public BatchRunner(
            Registry registry,
            FileStore store,
            GatewayNode node,
            Clock clock,
            int lineBytesMax,
            int linesMax,
            int concurrent) {
        this.registry = registry;
        this.store = store;
        this.node = node;
        this.clock = clock;
        this.limits = new BatchRun.Limits(lineBytesMax, linesMax, concurrent);
    }

    /** Begins to run batches, whose lines these are. */
    public void start(BatchLines how) {
        if (limits.concurrent() > 0) {
            scheduler.schedule(() -> lines = how);
            scheduler.schedulePeriodically(
                    this::guardedTick, TICK.toMillis(), TICK.toMillis(), java.util.concurrent.TimeUnit.MILLISECONDS);
        }
    }

    private void guardedTick() {
        try {
            tick();
        } catch (RuntimeException e) {
            LOG.error("the batches' turn failed; going on", e);
        }
    }

    private void tick() {
        BatchLines how = lines;
        if (!registry.ready() || node.partitions() == 0 || how == null) {
            return;
        }
        ticks++;
        if (ticks % PRUNE_TICKS == 0) {
            registry.prune();
        }
        if (ticks % REPORT_TICKS == 1) {
            for (Registry.Batch batch : registry.all()) {
                if (!batch.ended() && !running.containsKey(batch.info().getId()) && owns(batch)) {
                    begin(batch, how);
                }
            }
        }
        List<String> over = new ArrayList<>();
        running.forEach((id, each) -> {
            if (each.ended) {
                if (clock.nanos() - each.endedNanos > AGAIN_NANOS) {
                    over.add(id);
                }
            } else {
                each.run.tick(node.view().model(each.run.model()));
                if (ticks % REPORT_TICKS == 0) {
                    report(id, each);
                }
            }
        });
        over.forEach(running::remove);
    }

    private boolean owns(Registry.Batch batch) {
        return node.owns(batch.info().getId());
    }

    private void begin(Registry.Batch batch, BatchLines how) {
        String id = batch.info().getId();
        var each = new Running(new BatchRun(registry, store, how, clock, limits, batch));
        running.put(id, each);
        LOG.info("batch {} runs here, from {}", id, batch.state().getStatus());
        each.subscription = each.run
                .run()
                .subscribeOn(Schedulers.parallel())
                .publishOn(scheduler)
                .subscribe(
                        nothing -> {},
                        failure -> {
                            LOG.warn("batch {} stopped, and will go on: {}", id, failure.toString());
                            end(each);
                        },
                        () -> {
                            LOG.info("batch {} has ended", id);
                            end(each);
                        });
    }

    private void end(Running each) {
        each.ended = true;
        each.endedNanos = clock.nanos();
    }

    private void report(String id, Running each) {
        if (!node.owns(id)) {
            LOG.info("batch {} goes to another gateway", id);
            stop(each);
            return;
        }
        Disposable before = each.report;
        if (before == null || before.isDisposed()) {
            each.report = each.run
                    .report()
                    .onErrorResume(failure -> {
                        LOG.warn("batch {} could not say how far it is: {}", id, failure.toString());
                        return Mono.empty();
                    })
                    .subscribe();
        }
    }

    private void stop(Running each) {
        Disposable subscription = each.subscription;
        if (subscription != null) {
            subscription.dispose();
        }
        end(each);
    }

    @Override
    public void close() {
        scheduler.schedule(() -> running.values().forEach(this::stop));
        scheduler.disposeGracefully().block(Duration.ofSeconds(2));
    }
}
