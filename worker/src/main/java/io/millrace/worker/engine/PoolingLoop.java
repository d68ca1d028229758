package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.engine.PoolingScheduler.Part;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** What the pooling engine's thread does. Confined to it, except {@link #load} and {@link #healthy}. */
final class PoolingLoop implements LoopEngine.Loop {

    private final EngineConfig config;
    private final ModelRuntime runtime;
    private final Clock clock;
    private final Outputs outputs;
    private final StepListener stepListener;
    private final AtomicInteger outstanding;
    private final PoolingScheduler scheduler;
    private final Rates rates = new Rates();
    private long arrivals;
    private long steps;
    private int failuresInARow;
    private volatile boolean healthy = true;
    private volatile EngineLoad load;

    PoolingLoop(
            EngineConfig config,
            ModelRuntime runtime,
            Clock clock,
            Outputs outputs,
            StepListener stepListener,
            AtomicInteger outstanding) {
        this.config = config;
        this.runtime = runtime;
        this.clock = clock;
        this.outputs = outputs;
        this.stepListener = stepListener;
        this.outstanding = outstanding;
        this.scheduler = new PoolingScheduler(config.maxBatchedTokens(), config.maxRunning());
        this.load = snapshot();
    }

    @Override
    public boolean healthy() {
        return healthy;
    }

    @Override
    public EngineLoad load(int unseen) {
        return unseen == 0 ? load : load.withMoreWaiting(unseen);
    }

    @Override
    public boolean hasWork() {
        return healthy && scheduler.hasWork();
    }

    void submit(PoolingRequest request, PoolingListener listener) {
        if (!healthy) {
            turnAway(listener, "MR-ENGINE-009", "The engine is unhealthy after repeated failures.", true);
        } else if (scheduler.find(request.key()) != null) {
            turnAway(listener, "MR-ENGINE-005", "Execution " + request.key() + " is here already.", false);
        } else {
            setUp(request, listener);
        }
        load = snapshot();
    }

    /** A request that cannot even be set up harms nobody else. Where only memory was short it may try again. */
    @SuppressWarnings("CatchingUnchecked")
    private void setUp(PoolingRequest request, PoolingListener listener) {
        PoolingRun run;
        try {
            run = new PoolingRun(request, listener, arrivals++);
        } catch (RuntimeException | Error e) {
            String why = "Execution " + request.key() + " cannot be set up: " + e;
            turnAway(listener, "MR-ENGINE-010", why, e instanceof OutOfMemoryError);
            return;
        }
        if (run.done()) {
            // An earlier attempt made every output, and did not come to say so.
            outstanding.decrementAndGet();
            outputs.add(listener::onPooled);
        } else {
            scheduler.add(run);
        }
    }

    private void turnAway(PoolingListener listener, String code, String message, boolean retryable) {
        outstanding.decrementAndGet();
        outputs.add(() -> listener.onFailure(code, message, retryable));
    }

    void cancel(String key) {
        PoolingRun run = scheduler.find(key);
        if (run != null) {
            forget(run);
            outputs.add(run.listener()::onCancelled);
        }
        load = snapshot();
    }

    private void forget(PoolingRun run) {
        scheduler.remove(run);
        outstanding.decrementAndGet();
    }

    private void fail(PoolingRun run, String code, String message, boolean retryable) {
        if (scheduler.find(run.request().key()) == run) {
            forget(run);
            outputs.add(() -> run.listener().onFailure(code, message, retryable));
        }
    }

    /** Plans and runs one step. */
    @Override
    public void step() {
        failExpired(clock.wallMs());
        long planned = clock.nanos();
        List<Part> parts = scheduler.schedule();
        if (parts.isEmpty()) {
            load = snapshot();
            return;
        }
        for (Part part : parts) {
            if (part.run().markScheduled()) {
                PoolingListener listener = part.run().listener();
                outputs.add(() -> listener.onScheduled(0));
            }
        }
        StepInputs inputs = inputs(parts);
        long started = clock.nanos();
        float[][] rows = call(parts, inputs);
        long nanos = clock.nanos() - started;
        steps++;
        report(parts, inputs.rows(), planned, started, nanos, rows == null);
        if (rows != null) {
            failuresInARow = 0;
            rates.learn(0, inputs.rows(), nanos);
            for (int i = 0; i < parts.size(); i++) {
                book(parts.get(i), rows[i]);
            }
        }
        load = snapshot();
    }

    private void failExpired(long now) {
        for (PoolingRun run : scheduler.all()) {
            long deadline = run.request().deadlineMs();
            if (deadline > 0 && now >= deadline) {
                fail(
                        run,
                        "MR-ENGINE-007",
                        "The deadline passed " + (now - deadline) + " ms ago. Allow more time, or send fewer inputs.",
                        false);
            }
        }
    }

    private static StepInputs inputs(List<Part> parts) {
        int rows = parts.stream().mapToInt(p -> p.value().ids().length).sum();
        int[] tokens = new int[rows];
        int[] types = new int[rows];
        int[] starts = new int[parts.size() + 1];
        for (int i = 0; i < parts.size(); i++) {
            PoolingRequest.Input input = parts.get(i).value();
            int n = input.ids().length;
            System.arraycopy(input.ids(), 0, tokens, starts[i], n);
            System.arraycopy(input.types(), 0, types, starts[i], n);
            starts[i + 1] = starts[i] + n;
        }
        return StepInputs.whole(tokens, starts, types);
    }

    /** Null when the backend failed. */
    @SuppressWarnings("CatchingUnchecked")
    private float @Nullable [][] call(List<Part> parts, StepInputs inputs) {
        try {
            float[][] rows = runtime.run(inputs).pooled();
            if (rows == null || rows.length != parts.size()) {
                throw new MillraceException("MR-ENGINE-012", "The backend gave no row for an input.");
            }
            return rows;
        } catch (RuntimeException | Error e) {
            Set<PoolingRun> hit = new LinkedHashSet<>();
            parts.forEach(part -> hit.add(part.run()));
            String why = "A step of " + inputs.rows() + " rows failed: " + e;
            hit.forEach(run -> fail(run, "MR-ENGINE-006", why, true));
            if (++failuresInARow >= config.maxFailures()) {
                breakDown(failuresInARow + " steps failed one after the other, the last: " + e);
            }
            return null;
        }
    }

    private void book(Part part, float[] row) {
        PoolingRun run = part.run();
        if (scheduler.find(run.request().key()) != run) {
            return;
        }
        try {
            for (PoolingRun.Made made : run.computed(part.input(), row)) {
                outputs.add(() -> run.listener().onOutput(made.index(), made.values()));
            }
        } catch (MillraceException e) {
            fail(run, e.code(), String.valueOf(e.getMessage()), true);
            return;
        }
        if (run.done()) {
            forget(run);
            outputs.add(run.listener()::onPooled);
        }
    }

    @Override
    public void breakDown(String why) {
        healthy = false;
        handEverythingBack("MR-ENGINE-009", "The engine is unhealthy: " + why);
        load = snapshot();
    }

    @Override
    public void shutDown() {
        handEverythingBack("MR-ENGINE-008", "The engine was closed.");
    }

    @Override
    public void idle() {}

    private void handEverythingBack(String code, String why) {
        scheduler.all().forEach(run -> fail(run, code, why, true));
    }

    @Override
    public void close() {
        runtime.close();
    }

    private void report(List<Part> parts, int rows, long planned, long started, long nanos, boolean failed) {
        List<String> executions = stepListener.wantsExecutions(steps)
                ? parts.stream()
                        .map(part -> part.run().request().key())
                        .distinct()
                        .toList()
                : List.of();
        StepReport report = new StepReport(
                steps,
                parts.size(),
                0,
                rows,
                started,
                nanos,
                started - planned,
                HostTimes.NONE,
                0,
                0,
                scheduler.size(),
                0,
                0,
                failed,
                executions);
        outputs.add(() -> stepListener.onStep(report));
    }

    private EngineLoad snapshot() {
        return new EngineLoad(
                scheduler.size(),
                0,
                config.maxRunning(),
                0,
                0,
                0,
                scheduler.waitingTokens(),
                rates.prefillTokensPerS(),
                0,
                steps,
                0,
                0,
                0,
                0,
                EngineLoad.Host.NONE);
    }
}
