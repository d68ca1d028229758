package io.millrace.worker.engine;

import io.millrace.worker.backend.KvLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Decides what the next step runs. Sequences wait, or run and hold blocks for all of their ids. Both sets are in {@link
 * Sequence#ORDER}: the first waiting is admitted first, the last running is preempted first. Confined to the engine's thread.
 */
final class Scheduler {

    private final EngineConfig config;
    private final KvCache cache;
    private final SwapRule swapRule;
    private final int watermark;
    private final TreeSet<Sequence> waiting = new TreeSet<>(Sequence.ORDER);
    private final TreeSet<Sequence> running = new TreeSet<>(Sequence.ORDER);
    private long preemptions;
    private long prefixQueries;
    private long prefixHits;

    Scheduler(EngineConfig config, KvLayout layout, SwapRule swapRule) {
        this.config = config;
        this.swapRule = swapRule;
        this.cache = new KvCache(layout, config.model(), config.prefixCache());
        this.watermark = cache.totalBlocks() * config.watermarkPercent() / 100;
    }

    /** Plans a step: every decode, then prefills under way, then new ones, in chunks as the budget allows. */
    Step schedule() {
        Step step = new Step(cache.groups());
        for (Sequence s : new ArrayList<>(running)) {
            if (s.remaining() == 1 && s.mayGoOn() && running.contains(s) && makeRoom(s, step)) {
                cache.append(s, step.copies());
                step.addDecode(s);
            }
        }
        int budget = Math.max(1, config.maxBatchedTokens() - step.rows());
        for (Sequence s : running) {
            if (s.remaining() > 1 && budget > 0) {
                budget -= step.add(s, chunk(s, budget));
            }
        }
        while (budget > 0 && step.preempted() == 0 && canAdmitFirst()) {
            Sequence s = waiting.removeFirst();
            admit(s, step);
            budget -= step.add(s, chunk(s, budget));
        }
        return step;
    }

    /** Preempts from the end of the running until the sequence has a slot; false when it was preempted itself. */
    private boolean makeRoom(Sequence s, Step step) {
        while (!cache.canAppend(s)) {
            Sequence victim = running.last();
            if (cache.canSwapOut(victim) && swapRule.pays(cache.blocksFor(victim.computed()), victim.computed())) {
                cache.swapOut(victim, step.swapsOut());
            }
            preempt(victim);
            step.countPreemption();
            if (victim == s) {
                return false;
            }
        }
        return true;
    }

    private int chunk(Sequence s, int budget) {
        PromptScores scores = s.group().promptScores();
        boolean scored = scores != null && !scores.complete() && s == s.group().leader();
        int most = scored ? Math.min(budget, config.promptLogprobRows()) : budget;
        return Math.min(most, s.remaining());
    }

    private boolean canAdmitFirst() {
        if (waiting.isEmpty()) {
            return false;
        }
        Sequence s = waiting.first();
        boolean idle = running.isEmpty();
        boolean alone = idle || running.first().group() == s.group();
        boolean solo = s.group().request().solo()
                || (!idle && running.first().group().request().solo());
        return (alone || !solo)
                && slotsTaken() + 1 + s.forks().size() <= config.maxRunning()
                && s.waitsFor() == null
                && cache.canAllocate(s, idle ? 0 : watermark);
    }

    /** Running sequences, and those that will fork from them. */
    private int slotsTaken() {
        int taken = running.size();
        for (Sequence s : running) {
            taken += s.forks().size();
        }
        return taken;
    }

    private void admit(Sequence s, Step step) {
        int cached = cache.allocate(s, step.swapsIn());
        running.add(s);
        if (config.prefixCache()) {
            prefixQueries += s.length();
            prefixHits += cached;
        }
    }

    private void preempt(Sequence s) {
        running.remove(s);
        cache.free(s);
        waiting.add(s);
        preemptions++;
    }

    void add(Sequence s) {
        waiting.add(s);
    }

    /**
     * Books a step as under way: later ones see its ids in the cache. A prompt that is complete hands its blocks to the forks, which run from
     * now on. Known after {@link Step#inputs}.
     */
    void submitted(Step step) {
        for (Step.Part part : step.parts()) {
            Sequence s = part.sequence();
            s.advance(part.count());
            if (part.samples()) {
                for (Sequence fork : s.forks()) {
                    cache.fork(s, fork);
                    running.add(fork);
                }
                s.setForks(List.of());
            }
        }
        for (int r = 0; r < step.targets().size(); r++) {
            if (step.targets().get(r).scoredPosition() < 0) {
                step.targets().get(r).sequence().choosesIn(r);
            }
        }
    }

    /** Books a step as run: its full blocks can be found by others, but those of a sequence that has lost them since. */
    void computed(Step step) {
        for (Step.Part part : step.parts()) {
            if (part.sequence().computed() >= part.to()) {
                cache.publish(part.sequence(), part.to());
            }
        }
    }

    /** Takes a sequence out, wherever it is, and frees its blocks. */
    void remove(Sequence s) {
        waiting.remove(s);
        cache.host().release(s);
        if (running.remove(s)) {
            cache.free(s);
        }
    }

    /** After a failed step: everything starts over, and nothing is cached, here or on the host. */
    void resetCache() {
        for (Sequence s : new ArrayList<>(running)) {
            preempt(s);
        }
        waiting.forEach(cache.host()::release);
        cache.forgetAll();
    }

    boolean hasWork() {
        return !waiting.isEmpty() || !running.isEmpty();
    }

    /** The first waiting. */
    @Nullable
    Sequence firstWaiting() {
        return waiting.isEmpty() ? null : waiting.first();
    }

    KvCache cache() {
        return cache;
    }

    int running() {
        return running.size();
    }

    int waiting() {
        return waiting.size();
    }

    /** Ids not computed yet, but for the one that each decode has left. */
    long queuedPrefillTokens() {
        long sum = 0;
        for (Sequence s : running) {
            sum += s.remaining() - 1;
        }
        for (Sequence s : waiting) {
            Sequence.Swapped swapped = s.swapped();
            sum += s.remaining() - (swapped == null ? 0 : swapped.tokens());
        }
        return sum;
    }

    long preemptions() {
        return preemptions;
    }

    long prefixQueries() {
        return prefixQueries;
    }

    long prefixHits() {
        return prefixHits;
    }

    void checkIntegrity() {
        for (Sequence s : waiting) {
            if (s.blockCount() > 0) {
                throw new IllegalStateException("A waiting sequence holds blocks: " + s);
            }
        }
        for (Sequence s : running) {
            if (s.swapped() != null) {
                throw new IllegalStateException("A running sequence has blocks on the host: " + s);
            }
        }
        cache.checkIntegrity(running);
        cache.host().checkIntegrity(waiting);
    }
}
