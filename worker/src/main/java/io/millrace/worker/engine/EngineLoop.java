package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/**
 * What the engine's thread does: executions come in, steps run, tokens go out. Confined to that thread, except {@link #load} and
 * {@link #healthy}.
 */
final class EngineLoop {

    private static final System.Logger LOG = System.getLogger(EngineLoop.class.getName());
    private static final long IDLE_CHECK_NANOS = 1_000_000_000L;

    private final EngineConfig config;
    private final ModelRuntime runtime;
    private final Tokenizer tokenizer;
    private final Clock clock;
    private final Outputs outputs;
    private final StepListener stepListener;
    private final AtomicInteger outstanding;
    private final Scheduler scheduler;
    private final Sampler scorer;
    private final Map<String, SequenceGroup> groups = new HashMap<>();
    private final Rates rates = new Rates();
    private long arrivals;
    private long steps;
    private long generatedTokens;
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
        this.tokenizer = tokenizer;
        this.clock = clock;
        this.outputs = outputs;
        this.stepListener = stepListener;
        this.outstanding = outstanding;
        this.scheduler = new Scheduler(config, runtime.kvLayout());
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
        if (!healthy) {
            outstanding.decrementAndGet();
            outputs.failure(listener, "MR-ENGINE-009", "The engine is unhealthy after repeated failures.", true);
            return;
        }
        if (groups.containsKey(request.key()) || allEnded(request)) {
            outstanding.decrementAndGet();
            outputs.failure(
                    listener,
                    "MR-ENGINE-005",
                    "Execution " + request.key() + " is here already, or all of its choices have ended.",
                    false);
            return;
        }
        try {
            SequenceGroup group = new SequenceGroup(
                    request,
                    listener,
                    arrivals++,
                    tokenizer,
                    config.maxModelLen(),
                    scheduler.cache().groups());
            groups.put(request.key(), group);
            resume(group);
        } catch (RuntimeException e) {
            refuse(request, listener, e);
        }
        load = snapshot();
    }

    /** A request that cannot even be set up harms nobody else. */
    private void refuse(GenerationRequest request, GenerationListener listener, RuntimeException e) {
        String why = "Execution " + request.key() + " cannot be set up: " + e;
        SequenceGroup group = groups.get(request.key());
        if (group != null) {
            fail(group, "MR-ENGINE-010", why, false);
        } else {
            outstanding.decrementAndGet();
            outputs.failure(listener, "MR-ENGINE-010", why, false);
        }
    }

    private static boolean allEnded(GenerationRequest request) {
        for (boolean ended : request.ended()) {
            if (!ended) {
                return false;
            }
        }
        return true;
    }

    /** Puts accepted ids into the choices; one that they end already ends now. What is left waits, or forks from the first. */
    private void resume(SequenceGroup group) {
        for (Sequence s : List.copyOf(group.live())) {
            OutputRules.Verdict last = null;
            for (int id : group.request().accepted().get(s.choice())) {
                last = s.accept(id);
            }
            if (last != null && last.end() != null) {
                end(s, last.end());
            }
        }
        if (group.live().isEmpty()) {
            return;
        }
        if (group.isFresh()) {
            Sequence leader = group.leader();
            leader.setForks(group.live().subList(1, group.live().size()));
            scheduler.add(leader);
        } else {
            group.live().forEach(scheduler::add);
        }
    }

    void cancel(String key) {
        SequenceGroup group = groups.get(key);
        if (group != null) {
            drop(group);
            outputs.add(group.listener()::onCancelled);
            load = snapshot();
        }
    }

    /** Plans and runs one step. */
    void step() {
        failExpired();
        if (!scheduler.hasWork()) {
            return;
        }
        long planned = clock.nanos();
        Step step = scheduler.schedule();
        if (step.isEmpty()) {
            throw new IllegalStateException("Nothing can run, though " + scheduler.firstWaiting() + " waits.");
        }
        announce(step);
        StepInputs inputs = step.inputs(scheduler.cache().blockTokens());
        long started = clock.nanos();
        StepOutputs result = call(step, inputs);
        long nanos = clock.nanos() - started;
        steps++;
        report(step, planned, started, nanos, result == null);
        if (result != null) {
            failuresInARow = 0;
            rates.learn(step.decodeRows(), step.rows() - step.decodeRows(), nanos);
            book(step, result);
        }
        load = snapshot();
    }

    private void failExpired() {
        long now = clock.wallMs();
        for (SequenceGroup group : List.copyOf(groups.values())) {
            long deadline = group.request().deadlineMs();
            if (deadline > 0 && now >= deadline) {
                fail(
                        group,
                        "MR-ENGINE-007",
                        "The deadline passed " + (now - deadline)
                                + " ms ago. Allow more time, or ask for fewer tokens.",
                        false);
            }
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
        hit.forEach(group -> fail(group, "MR-ENGINE-006", why, true));
        scheduler.resetCache();
        if (++failuresInARow >= config.maxFailures()) {
            breakDown(failuresInARow + " steps failed one after the other, the last: " + e);
        }
    }

    /** The tokens of a step, into sequences and out to listeners. */
    private void book(Step step, StepOutputs result) {
        step.parts().forEach(scheduler::computed);
        List<Step.Target> targets = step.targets();
        for (int r = 0; r < targets.size(); r++) {
            Step.Target target = targets.get(r);
            Sequence s = target.sequence();
            if (!s.group().live().contains(s)) {
                continue;
            }
            MillraceException error = result.errors() == null ? null : result.errors()[r];
            try {
                if (error != null) {
                    throw error;
                }
                if (target.scoredPosition() >= 0) {
                    score(s.group(), target.scoredPosition(), result.logits(), r);
                } else {
                    take(s, result.sampled()[r]);
                }
            } catch (MillraceException e) {
                boolean elsewhere = e.code().equals("MR-SAMPLING-001");
                fail(s.group(), e.code(), String.valueOf(e.getMessage()), elsewhere);
            } catch (RuntimeException e) {
                fail(s.group(), "MR-ENGINE-013", "An id of " + s + " has no text: " + e, false);
            }
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
            end(s, verdict.end());
        }
    }

    private void end(Sequence s, OutputRules.End end) {
        scheduler.remove(s);
        outputs.end(s, end);
        s.group().live().remove(s);
        if (s.group().live().isEmpty()) {
            forget(s.group());
        }
    }

    private void fail(SequenceGroup group, String code, String message, boolean retryable) {
        outputs.failure(group.listener(), code, message, retryable);
        drop(group);
    }

    private void drop(SequenceGroup group) {
        forget(group);
        List<Sequence> live = List.copyOf(group.live());
        group.live().clear();
        live.forEach(scheduler::remove);
    }

    private void forget(SequenceGroup group) {
        if (groups.remove(group.request().key(), group)) {
            outstanding.decrementAndGet();
        }
    }

    /** Unhealthy from now on: everything is handed back. */
    void breakDown(String why) {
        healthy = false;
        handEverythingBack("MR-ENGINE-009", "The engine is unhealthy: " + why);
        load = snapshot();
    }

    void handEverythingBack(String code, String why) {
        for (SequenceGroup group : new ArrayList<>(groups.values())) {
            try {
                fail(group, code, why, true);
            } catch (IllegalStateException e) {
                LOG.log(System.Logger.Level.ERROR, "The books of the KV cache are broken.", e);
            }
        }
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
                cache.totalBlocks() - cache.availableBlocks(),
                cache.totalBlocks(),
                scheduler.running(),
                scheduler.waiting(),
                step.preempted(),
                failed);
        outputs.add(() -> stepListener.onStep(report));
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
