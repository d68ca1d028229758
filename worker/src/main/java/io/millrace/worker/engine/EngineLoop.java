package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
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
final class EngineLoop {

    private static final long IDLE_CHECK_NANOS = 1_000_000_000L;

    private final EngineConfig config;
    private final ModelRuntime runtime;
    private final Clock clock;
    private final Outputs outputs;
    private final StepListener stepListener;
    private final Scheduler scheduler;
    private final Sampler scorer;
    private final Executions executions;
    private final Rates rates = new Rates();
    private final CompletableFuture<MillraceException> lost = new CompletableFuture<>();
    private @Nullable StepProfiler profiler;
    /** Handed to the runtime and not booked; of a runtime whose steps do not overlap, only while {@link #step} runs. */
    private @Nullable Flight flying;

    /** What the step that does not overlap gave. */
    private @Nullable StepOutputs computed;

    private long finishedAt;
    private long computedBefore;
    private long steps;
    private long generatedTokens;
    private int failuresInARow;
    private long checkedAt;
    private volatile boolean healthy = true;
    private volatile EngineLoad load;
    /** Of the last step. */
    private HostTimes host = HostTimes.NONE;

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
        this.outputs = outputs;
        this.stepListener = stepListener;
        this.scheduler = new Scheduler(config, runtime.kvLayout(), new SwapRule(runtime.swapSeconds(), rates));
        this.executions = new Executions(scheduler, outputs, tokenizer, config.maxModelLen(), outstanding);
        this.scorer = new Sampler(runtime.vocabularySize());
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

    boolean healthy() {
        return healthy;
    }

    /** Completes, on the engine's thread, when the runtime's device is lost; everything was handed back then. */
    CompletableFuture<MillraceException> lost() {
        return lost;
    }

    /** @param unseen executions that are submitted but not here yet */
    EngineLoad load(int unseen) {
        return unseen == 0 ? load : load.withMoreWaiting(unseen);
    }

    boolean hasWork() {
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
    void step() {
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
        if (!runtime.overlaps() || profiler != null || !scheduler.hasWork()) {
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
        planned(planning, step);
        if (step.isEmpty()) {
            if (before == null) {
                throw new IllegalStateException("Nothing can run, though " + scheduler.firstWaiting() + " waits.");
            }
            return swappedOut(step, before);
        }
        announce(step);
        StepInputs inputs = step.inputs(scheduler.cache().blockTokens());
        long started = clock.nanos();
        var running = new StepEvent();
        running.begin();
        Flight flight = new Flight(step, inputs, planned, started, running, profiler);
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
            move(step.swapsOut(), runtime::swapOut);
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
        flight.event().end();
        steps++;
        ran(flight.event(), step, false);
        report(step, flight.planned(), begun, ended - begun, false);
        failuresInARow = 0;
        rates.learn(step.decodeRows(), step.rows() - step.decodeRows(), ended - begun);
        long booking = clock.nanos();
        book(step, result);
        long booked = clock.nanos();
        StepProfiler recording = flight.profiler();
        if (recording != null
                && recording == profiler
                && recording.add(
                        step, steps, flight.inputs(), flight.planned(), flight.started(), ended, clock.nanos())) {
            profiler = null;
        }
        load = snapshot();
        host = hostTimes(flight, runtime.computeNanos() - computedBefore, ended, booked - booking);
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
        if (count == 0) {
            if (profiler != null) {
                profiler.end();
                profiler = null;
            }
            done.complete(List.of());
        } else if (profiler != null) {
            done.completeExceptionally(new MillraceException(
                    "MR-PROF-002", "A profile of " + config.model() + " is being recorded. Wait until it is done."));
        } else {
            profiler = new StepProfiler(runtime, count, done);
        }
    }

    private void planned(ScheduleEvent event, Step step) {
        event.end();
        if (event.shouldCommit()) {
            event.model = config.model();
            event.rows = step.rows();
            event.running = scheduler.running();
            event.waiting = scheduler.waiting();
            event.preempted = step.preempted();
            event.commit();
        }
    }

    private void ran(StepEvent event, Step step, boolean failed) {
        if (event.shouldCommit()) {
            event.model = config.model();
            event.step = steps;
            event.sequences = step.parts().size();
            event.decodeTokens = step.decodeRows();
            event.prefillTokens = step.rows() - step.decodeRows();
            event.kvBlocksUsed =
                    scheduler.cache().totalBlocks() - scheduler.cache().availableBlocks();
            event.failed = failed;
            event.commit();
        }
    }

    private void announce(Step step) {
        for (Step.Part part : step.parts()) {
            SequenceGroup group = part.sequence().group();
            if (group.markScheduled()) {
                int cached = part.from();
                outputs.add(() -> group.listener().onScheduled(cached));
            }
        }
    }

    /** Copies blocks and runs the model, or begins to. What is read is read before its block is written. */
    private void call(Flight flight) {
        Step step = flight.step();
        move(step.swapsOut(), runtime::swapOut);
        move(step.copies(), runtime::copyBlocks);
        move(step.swapsIn(), runtime::swapIn);
        if (runtime.overlaps()) {
            runtime.submit(flight.inputs());
        } else {
            computed = runtime.run(flight.inputs());
        }
    }

    /** One of the ways that a runtime copies blocks. */
    @FunctionalInterface
    private interface Mover {
        void move(int group, int[] from, int[] to);
    }

    private static void move(KvCache.Copies[] all, Mover mover) {
        for (int g = 0; g < all.length; g++) {
            if (!all[g].from().isEmpty()) {
                mover.move(g, ints(all[g].from()), ints(all[g].to()));
            }
        }
    }

    private static int[] ints(List<Integer> list) {
        return list.stream().mapToInt(Integer::intValue).toArray();
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
            Step step = flight.step();
            flight.event().end();
            steps++;
            ran(flight.event(), step, true);
            report(step, flight.planned(), flight.started(), clock.nanos() - flight.started(), true);
            step.parts().forEach(part -> hit.add(part.sequence().group()));
            rows = step.rows();
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

    /**
     * The tokens of a step, into sequences and out to listeners: first those that somebody has waited for longest, a sequence's first.
     */
    private void book(Step step, StepOutputs result) {
        scheduler.computed(step);
        List<Step.Target> targets = step.targets();
        boolean[] first = new boolean[targets.size()];
        for (int r = 0; r < first.length; r++) {
            first[r] = targets.get(r).sequence().outputs() == 0;
        }
        for (boolean firsts : new boolean[] {true, false}) {
            for (int r = 0; r < first.length; r++) {
                if (first[r] == firsts) {
                    book(targets.get(r), result, r);
                }
            }
        }
    }

    private void book(Step.Target target, StepOutputs result, int row) {
        Sequence s = target.sequence();
        if (!s.group().live().contains(s)) {
            return;
        }
        MillraceException error = result.errors() == null ? null : result.errors()[row];
        try {
            if (error != null) {
                throw error;
            }
            if (target.scoredPosition() >= 0) {
                score(s.group(), target.scoredPosition(), result.logits(), row);
            } else {
                take(s, result.sampled()[row]);
            }
        } catch (MillraceException e) {
            boolean elsewhere = e.code().equals("MR-SAMPLING-001");
            executions.fail(s.group(), e.code(), String.valueOf(e.getMessage()), elsewhere);
        } catch (RuntimeException e) {
            executions.fail(s.group(), "MR-ENGINE-013", "An id of " + s + " has no text: " + e, false);
        }
    }

    private void score(SequenceGroup group, int position, float @Nullable [][] logits, int row) {
        PromptScores scores = group.promptScores();
        if (scores == null || logits == null) {
            throw new MillraceException("MR-ENGINE-012", "The backend gave no logits for a row of the prompt.");
        }
        scores.add(position, logits[row], scorer);
    }

    private void take(Sequence s, @Nullable SampledToken token) {
        if (token == null) {
            throw new MillraceException("MR-ENGINE-012", "The backend sampled no id for " + s + ".");
        }
        PromptScores scores = s.group().promptScores();
        if (scores != null && scores.complete() && scores.markReported()) {
            List<SampledToken> list = scores.scores();
            outputs.add(() -> s.group().listener().onPromptLogprobs(list));
        }
        OutputRules.Verdict verdict = s.accept(token.id());
        generatedTokens++;
        outputs.tokens(s, token, verdict.text());
        if (verdict.end() != null) {
            executions.end(s, verdict.end());
        }
    }

    /** Unhealthy from now on: everything is handed back. */
    void breakDown(String why) {
        healthy = false;
        flying = null;
        executions.handEverythingBack("MR-ENGINE-009", "The engine is unhealthy: " + why);
        load = snapshot();
    }

    /** Everything is handed back; the engine ends. */
    void shutDown() {
        executions.handEverythingBack("MR-ENGINE-008", "The engine was closed.");
    }

    /** Nothing is left to do: the books must balance. */
    void idle() {
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

    void close() {
        if (profiler != null) {
            profiler.end();
            profiler = null;
        }
        runtime.close();
    }

    private void report(Step step, long planned, long started, long nanos, boolean failed) {
        KvCache cache = scheduler.cache();
        StepReport report = new StepReport(
                steps,
                step.parts().size(),
                step.decodeRows(),
                step.rows() - step.decodeRows(),
                started,
                nanos,
                started - planned,
                host,
                cache.totalBlocks() - cache.availableBlocks(),
                cache.totalBlocks(),
                scheduler.running(),
                scheduler.waiting(),
                step.preempted(),
                failed,
                stepListener.wantsExecutions(steps) ? keys(step) : List.of());
        outputs.add(() -> stepListener.onStep(report));
    }

    private static List<String> keys(Step step) {
        return step.parts().stream()
                .map(part -> part.sequence().group().request().key())
                .distinct()
                .toList();
    }

    private EngineLoad snapshot() {
        KvCache cache = scheduler.cache();
        HostPools host = cache.host();
        return new EngineLoad(
                scheduler.running(),
                scheduler.waiting(),
                config.maxRunning(),
                cache.totalBlocks(),
                cache.availableBlocks(),
                cache.blockTokens(),
                scheduler.queuedPrefillTokens(),
                rates.prefillTokensPerS(),
                rates.decodeStepS(),
                steps,
                scheduler.preemptions(),
                scheduler.prefixQueries(),
                scheduler.prefixHits(),
                generatedTokens,
                new EngineLoad.Host(
                        host.blocks(),
                        host.used(),
                        host.swappedOut(),
                        host.swappedIn(),
                        runtime.swapSeconds(),
                        runtime.copiedRows()));
    }
}
