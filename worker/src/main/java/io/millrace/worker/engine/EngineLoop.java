package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.text.Tokenizer;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * What the engine's thread does: executions come in, steps run, tokens go out. Confined to that thread, except {@link #load} and
 * {@link #healthy}.
 */
final class EngineLoop implements LoopEngine.Loop {

    private static final long IDLE_CHECK_NANOS = 1_000_000_000L;

    private final EngineConfig config;
    private final ModelRuntime runtime;
    private final Clock clock;
    private final Scheduler scheduler;
    private final Executions executions;
    private final BlockMoves moves;
    private final StepBooking booking;
    private final Outputs outputs;
    private final StepRecords records;
    private final Profiling profiling;
    private final Rates rates = new Rates();
    private final CompletableFuture<MillraceException> lost = new CompletableFuture<>();

    /** Handed to the runtime and not booked; of a runtime whose steps do not overlap, only while {@link #step} runs. */
    private @Nullable Flight flying;

    /** What the step that does not overlap gave. */
    private @Nullable StepOutputs computed;

    private long finishedAt;
    private long computedBefore;
    private int failuresInARow;
    private long checkedAt;
    private volatile boolean healthy = true;
    private volatile EngineLoad load;

    EngineLoop(
            EngineConfig config,
            ModelRuntime runtime,
            Tokenizer tokenizer,
            Clock clock,
            Outputs outputs,
            StepListener stepListener,
            AtomicInteger outstanding) {
        this.config = config;
        this.runtime = runtime;
        this.clock = clock;
        this.scheduler = new Scheduler(config, runtime.kvLayout(), new SwapRule(runtime.swapSeconds(), rates));
        this.executions = new Executions(scheduler, outputs, tokenizer, config.maxModelLen(), outstanding);
        this.moves = new BlockMoves(runtime);
        this.outputs = outputs;
        this.booking = new StepBooking(executions, outputs, runtime.vocabularySize());
        this.records = new StepRecords(config, runtime, scheduler, rates, outputs, stepListener);
        this.profiling = new Profiling(config.model(), runtime);
        KvCache cache = scheduler.cache();
        if (cache.blocksFor(config.maxModelLen()) > cache.totalBlocks()) {
            throw new MillraceException(
                    "MR-ENGINE-001",
                    "The KV cache holds " + cache.totalBlocks() * cache.blockTokens()
                            + " tokens, but a sequence may have " + config.maxModelLen()
                            + ". Lower max-model-len or raise the memory of the KV cache.");
        }
        this.load = snapshot();
    }

    @Override
    public boolean healthy() {
        return healthy;
    }

    /** Completes, on the engine's thread, when the runtime's device is lost; everything was handed back then. */
    CompletableFuture<MillraceException> lost() {
        return lost;
    }

    @Override
    public EngineLoad load(int unseen) {
        return unseen == 0 ? load : load.withMoreWaiting(unseen);
    }

    @Override
    public boolean hasWork() {
        return healthy && (flying != null || scheduler.hasWork());
    }

    void submit(GenerationRequest request, GenerationListener listener) {
        if (healthy) {
            executions.submit(request, listener);
        } else {
            executions.turnAway(listener, "MR-ENGINE-009", "The engine is unhealthy after repeated failures.", true);
        }
        load = snapshot();
    }

    void cancel(String key) {
        executions.cancel(key);
        load = snapshot();
    }

    /**
     * Finishes a step. Where the runtime's steps overlap, the next is planned and begun before: what the one under way chooses need not be known
     * for that, and a choice that it ends is computed once more in vain.
     */
    @Override
    public void step() {
        executions.failExpired(clock.wallMs());
        Flight current = flying != null ? flying : scheduler.hasWork() ? begin(null) : null;
        if (current == null) {
            return;
        }
        flying = current;
        Flight next = null;
        if (foreseeable(current)) {
            next = begin(current);
            if (flying == null) {
                return;
            }
        }
        flying = next;
        finish(current, next);
    }

    /** Whether the step after it can be planned before its ids are known. */
    private boolean foreseeable(Flight flight) {
        if (!runtime.overlaps() || profiling.current() != null || !scheduler.hasWork()) {
            return false;
        }
        List<Step.Target> targets = flight.step().targets();
        for (int r = 0; r < targets.size(); r++) {
            SamplingRow row = flight.inputs().sampling()[r];
            if (!targets.get(r).sequence().isForeseeable() || row == null || !runtime.feeds(row)) {
                return false;
            }
        }
        return true;
    }

    /** Plans the next step and hands it over, to run after {@code before}; null when there is nothing to run before the one under way is done, or that failed. */
    @SuppressWarnings("CatchingUnchecked")
    private @Nullable Flight begin(@Nullable Flight before) {
        long planned = clock.nanos();
        computedBefore = runtime.computeNanos();
        var planning = new ScheduleEvent();
        planning.begin();
        Step step = scheduler.schedule();
        records.planned(planning, step);
        if (step.isEmpty()) {
            if (before == null) {
                throw new IllegalStateException("Nothing can run, though " + scheduler.firstWaiting() + " waits.");
            }
            return swappedOut(step, before);
        }
        executions.announce(step);
        StepInputs inputs = step.inputs(scheduler.cache().blockTokens());
        long started = clock.nanos();
        var running = new StepEvent();
        running.begin();
        Flight flight = new Flight(step, inputs, planned, started, running, profiling.current());
        try {
            call(flight);
        } catch (RuntimeException | Error e) {
            failed(e, before, flight);
            return null;
        }
        scheduler.submitted(step);
        return flight;
    }

    /** Who was preempted by a step that nobody is left for still has to get to the host. Null. */
    @SuppressWarnings("CatchingUnchecked")
    private @Nullable Flight swappedOut(Step step, Flight before) {
        try {
            moves.swapOut(step);
        } catch (RuntimeException | Error e) {
            failed(e, before);
        }
        return null;
    }

    /** Takes what the oldest step gave, and books it. */
    @SuppressWarnings("CatchingUnchecked")
    private void finish(Flight flight, @Nullable Flight next) {
        Step step = flight.step();
        StepOutputs result;
        try {
            result = computed != null ? computed : runtime.collect();
        } catch (RuntimeException | Error e) {
            failed(e, flight, next);
            return;
        }
        computed = null;
        long ended = clock.nanos();
        long begun = Math.max(flight.started(), finishedAt);
        finishedAt = ended;
        records.ended(flight, begun, ended - begun, false);
        failuresInARow = 0;
        rates.learn(step.decodeRows(), step.rows() - step.decodeRows(), ended - begun);
        long reported = clock.nanos();
        scheduler.computed(step);
        outputs.together(() -> booking.book(step, result));
        long booked = clock.nanos();
        profiling.ran(flight, records.steps(), ended, booked);
        load = snapshot();
        records.host(hostTimes(flight, runtime.computeNanos() - computedBefore, ended, booked - reported));
    }

    private HostTimes hostTimes(Flight flight, long arithmetic, long ended, long bookNanos) {
        return arithmetic == 0
                ? HostTimes.NONE
                : new HostTimes(
                        flight.started() - flight.planned(),
                        ended - flight.started() - arithmetic,
                        bookNanos,
                        clock.nanos() - flight.planned() - arithmetic);
    }

    /** Records the next steps; 0: ends the recording that runs, with what it has. MR-PROF-002 when one runs already. */
    void profile(int count, CompletableFuture<List<ProfiledStep>> done) {
        profiling.record(count, done);
    }

    /** Copies blocks and runs the model, or begins to. */
    private void call(Flight flight) {
        moves.before(flight.step());
        if (runtime.overlaps()) {
            runtime.submit(flight.inputs());
        } else {
            computed = runtime.run(flight.inputs());
        }
    }

    /** Steps under way are lost together: one failure. */
    private void failed(Throwable e, @Nullable Flight... together) {
        flying = null;
        Set<SequenceGroup> hit = new LinkedHashSet<>();
        int rows = 0;
        for (Flight flight : together) {
            if (flight == null) {
                continue;
            }
            records.ended(flight, flight.started(), clock.nanos() - flight.started(), true);
            flight.step().parts().forEach(part -> hit.add(part.sequence().group()));
            rows = flight.step().rows();
        }
        String why = "A step of " + rows + " rows failed: " + e;
        hit.forEach(group -> executions.fail(group, "MR-ENGINE-006", why, true));
        scheduler.resetCache();
        failuresInARow++;
        if (e instanceof MillraceException coded && coded.code().equals(ModelRuntime.DEVICE_LOST)) {
            breakDown("its device is lost: " + e);
            lost.complete(coded);
        } else if (failuresInARow >= config.maxFailures()) {
            breakDown(failuresInARow + " steps failed one after the other, the last: " + e);
        }
        load = snapshot();
    }

    @Override
    public void breakDown(String why) {
        healthy = false;
        flying = null;
        executions.handEverythingBack("MR-ENGINE-009", "The engine is unhealthy: " + why);
        load = snapshot();
    }

    @Override
    public void shutDown() {
        executions.handEverythingBack("MR-ENGINE-008", "The engine was closed.");
    }

    /** The books must balance. */
    @Override
    public void idle() {
        load = snapshot();
        long now = clock.nanos();
        if (healthy && now - checkedAt > IDLE_CHECK_NANOS) {
            checkedAt = now;
            scheduler.checkIntegrity();
        }
    }

    void checkIntegrity() {
        scheduler.checkIntegrity();
    }

    @Override
    public void close() {
        profiling.end();
        runtime.close();
    }

    private EngineLoad snapshot() {
        return records.load(booking.generatedTokens());
    }
}
