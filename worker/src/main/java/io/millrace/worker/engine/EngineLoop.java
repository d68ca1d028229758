package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
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
    private @Nullable StepProfiler profiler;
    private long steps;
    private long generatedTokens;
    private int failuresInARow;
    private long checkedAt;
    private volatile boolean healthy = true;
    private volatile EngineLoad load;
    /** Of the last step. */
    private long hostNanos;

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
        this.scheduler = new Scheduler(config, runtime.kvLayout());
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

    /** @param unseen executions that are submitted but not here yet */
    EngineLoad load(int unseen) {
        return unseen == 0 ? load : load.withMoreWaiting(unseen);
    }

    boolean hasWork() {
        return healthy && scheduler.hasWork();
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

    /** Plans and runs one step. */
    void step() {
        executions.failExpired(clock.wallMs());
        if (!scheduler.hasWork()) {
            return;
        }
        long planned = clock.nanos();
        long computed = runtime.computeNanos();
        var planning = new ScheduleEvent();
        planning.begin();
        Step step = scheduler.schedule();
        planned(planning, step);
        if (step.isEmpty()) {
            throw new IllegalStateException("Nothing can run, though " + scheduler.firstWaiting() + " waits.");
        }
        announce(step);
        StepInputs inputs = step.inputs(scheduler.cache().blockTokens());
        long started = clock.nanos();
        var running = new StepEvent();
        running.begin();
        StepOutputs result = call(step, inputs);
        running.end();
        long nanos = clock.nanos() - started;
        steps++;
        ran(running, step, result == null);
        report(step, planned, started, nanos, result == null);
        if (result != null) {
            failuresInARow = 0;
            rates.learn(step.decodeRows(), step.rows() - step.decodeRows(), nanos);
            book(step, result);
        }
        if (profiler != null && profiler.add(step, steps, inputs, planned, started, started + nanos, clock.nanos())) {
            profiler = null;
        }
        load = snapshot();
        long arithmetic = runtime.computeNanos() - computed;
        hostNanos = arithmetic == 0 ? 0 : clock.nanos() - planned - arithmetic;
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

    /** Copies blocks and runs the model; null when that failed. */
    @SuppressWarnings("CatchingUnchecked")
    private @Nullable StepOutputs call(Step step, StepInputs inputs) {
        try {
            for (int g = 0; g < step.copies().length; g++) {
                KvCache.Copies copies = step.copies()[g];
                if (!copies.from().isEmpty()) {
                    runtime.copyBlocks(g, ints(copies.from()), ints(copies.to()));
                }
            }
            return runtime.run(inputs);
        } catch (RuntimeException | Error e) {
            stepFailed(step, e);
            return null;
        }
    }

    private static int[] ints(List<Integer> list) {
        return list.stream().mapToInt(Integer::intValue).toArray();
    }

    private void stepFailed(Step step, Throwable e) {
        String why = "A step of " + step.rows() + " rows failed: " + e;
        Set<SequenceGroup> hit = new LinkedHashSet<>();
        step.parts().forEach(part -> hit.add(part.sequence().group()));
        hit.forEach(group -> executions.fail(group, "MR-ENGINE-006", why, true));
        scheduler.resetCache();
        if (++failuresInARow >= config.maxFailures()) {
            breakDown(failuresInARow + " steps failed one after the other, the last: " + e);
        }
    }

    /**
     * The tokens of a step, into sequences and out to listeners: first those that somebody has waited for longest, a sequence's first.
     */
    private void book(Step step, StepOutputs result) {
        step.parts().forEach(scheduler::computed);
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
                hostNanos,
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
                generatedTokens);
    }
}
