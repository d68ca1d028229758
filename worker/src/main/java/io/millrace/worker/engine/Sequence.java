package io.millrace.worker.engine;

import io.millrace.worker.engine.PrefixCache.BlockHash;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenHistory;
import io.millrace.worker.sampling.TokenMask;
import io.millrace.worker.text.OutputText;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.GrammarCursor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One choice of an execution: its ids, how far they are in the KV cache, and in which blocks. Confined to the engine's thread.
 *
 * <p>{@code computed} ids are in the cache, or will be when the steps under way have run; the rest is still to be run. While decoding, exactly
 * one id (the last sampled) is left. It may be pending: chosen by a step under way, and not known yet.
 */
final class Sequence implements TokenHistory {

    /** Who runs first, and who is preempted last. */
    static final Comparator<Sequence> ORDER = Comparator.comparingInt(
                    (Sequence s) -> -s.group.request().priority())
            .thenComparingLong(s -> s.group.arrival())
            .thenComparingInt(s -> s.choice);

    private final SequenceGroup group;
    private final int choice;
    private final int promptLength;
    private final OutputRules rules;
    private final OutputText text;
    private final @Nullable GrammarCursor grammar;
    private final List<BlockHash> names = new ArrayList<>();
    private final int[][] blocks;

    /** Sequences that take over this one's blocks when the prompt is computed. */
    private List<Sequence> forks = List.of();

    private int[] ids;
    private int length;
    private int computed;
    private int blockCount;
    private int published;
    private @Nullable Swapped swapped;
    /** Ids that steps under way choose, and the logit row of the last. */
    private int pending;

    private int pendingRow;

    Sequence(SequenceGroup group, int choice, Tokenizer tokenizer, OutputRules rules, int kvGroups) {
        GenerationRequest request = group.request();
        this.group = group;
        this.choice = choice;
        this.rules = rules;
        this.promptLength = request.promptIds().length;
        this.ids = Arrays.copyOf(request.promptIds(), promptLength + Math.min(request.maxTokens(), 64));
        this.length = promptLength;
        this.blocks = new int[kvGroups][4];
        this.grammar = request.grammar() == null ? null : request.grammar().begin();
        this.text = new OutputText(
                tokenizer, request.stopStrings(), request.includeStop(), request.form(), request.minTokens());
    }

    /**
     * Its cache while it waits, on the host.
     *
     * @param blocks [G][blocks] of the pools there
     * @param tokens that are in them
     */
    record Swapped(int[][] blocks, int tokens) {}

    SequenceGroup group() {
        return group;
    }

    int choice() {
        return choice;
    }

    List<Sequence> forks() {
        return forks;
    }

    void setForks(List<Sequence> sequences) {
        forks = List.copyOf(sequences);
    }

    @Override
    public int promptLength() {
        return promptLength;
    }

    @Override
    public int length() {
        return length;
    }

    /** The id; of the pending one {@code -1 - row}, the logit row of the step under way that chooses it. */
    @Override
    public int get(int index) {
        return index < length ? ids[index] : -1 - pendingRow;
    }

    @Override
    public int[] first(int count) {
        return Arrays.copyOf(ids, count);
    }

    /** The array itself; entries from {@link #length} on mean nothing. */
    int[] ids() {
        return ids;
    }

    int outputs() {
        return length - promptLength;
    }

    /** Ids that are known, and those that are pending. */
    int planned() {
        return length + pending;
    }

    /** A step was submitted whose logit row {@code row} chooses the next id. */
    void choosesIn(int row) {
        pending++;
        pendingRow = row;
    }

    /** Whether it may go on after the id that is pending: it does not end by its length. */
    boolean mayGoOn() {
        return pending == 0 || rules.mayGoOn(planned() - promptLength, planned());
    }

    /** Whether what is asked of the next id does not depend on which the last one is. */
    boolean isForeseeable() {
        PromptScores scores = group.promptScores();
        return grammar == null && group.request().badWords().isEmpty() && (scores == null || scores.complete());
    }

    /** Takes a sampled (or, on resume, accepted) id: appended, turned into text, judged. */
    OutputRules.Verdict accept(int id) {
        pending = Math.max(0, pending - 1);
        if (length == ids.length) {
            ids = Arrays.copyOf(ids, length * 2);
        }
        ids[length++] = id;
        return rules.judge(this, text, grammar, id);
    }

    /** Output ids of its reasoning. */
    int reasoningTokens() {
        return text.reasoningTokens();
    }

    /** How its next id is to be chosen; begins to compute what the grammar allows. */
    SamplingRow samplingRow() {
        GenerationRequest r = group.request();
        TokenHistory history = pending == 0 ? this : new Ahead(this, planned());
        return new SamplingRow(
                r.sampling(), r.seed(), choice, planned(), history, rules.suppressed(this), false, mask());
    }

    /** The ids with the pending one. */
    private record Ahead(Sequence sequence, int length) implements TokenHistory {
        @Override
        public int promptLength() {
            return sequence.promptLength;
        }

        @Override
        public int get(int index) {
            return sequence.get(index);
        }

        @Override
        public int[] first(int count) {
            return sequence.first(count);
        }
    }

    private @Nullable TokenMask mask() {
        GenerationRequest r = group.request();
        TokenMask allowed = r.allowed();
        if (grammar == null) {
            return allowed;
        }
        TokenMask mask = grammar.mask(r.stopIds());
        return allowed == null ? mask : mask.and(allowed);
    }

    int computed() {
        return computed;
    }

    int remaining() {
        return planned() - computed;
    }

    void advance(int tokens) {
        computed += tokens;
    }

    /** [G] tables; entries from {@link #blockCount} on mean nothing. */
    int[] blockTable(int kvGroup) {
        return blocks[kvGroup];
    }

    int blockCount() {
        return blockCount;
    }

    int block(int kvGroup, int index) {
        return blocks[kvGroup][index];
    }

    void setBlock(int kvGroup, int index, int block) {
        if (index == blocks[kvGroup].length) {
            blocks[kvGroup] = Arrays.copyOf(blocks[kvGroup], index * 2);
        }
        blocks[kvGroup][index] = block;
    }

    void allocated(int count, int computedTokens) {
        blockCount = count;
        computed = computedTokens;
    }

    void freed() {
        blockCount = 0;
        computed = 0;
        published = 0;
    }

    @Nullable
    Swapped swapped() {
        return swapped;
    }

    void setSwapped(@Nullable Swapped value) {
        swapped = value;
    }

    int published() {
        return published;
    }

    void setPublished(int full) {
        published = full;
    }

    int names() {
        return names.size();
    }

    BlockHash name(int index) {
        return names.get(index);
    }

    void addName(BlockHash name) {
        names.add(name);
    }

    /** The earlier choice that is computing the same prompt now, if it is worth waiting for its blocks. */
    @Nullable
    Sequence waitsFor() {
        Sequence leader = group.leader();
        return leader != this && leader.blockCount > 0 && leader.computed < promptLength ? leader : null;
    }

    @Override
    public String toString() {
        return group.request().key() + "/" + choice + "[" + computed + " of " + length + " ids, " + blockCount
                + " blocks]";
    }
}
