package io.millrace.worker.engine;

import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.sampling.SamplingRow;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What one step runs: for each sequence its next ids, in order. Confined to the engine's thread. */
final class Step {

    /**
     * {@code count} ids of a sequence from its first that is not computed.
     *
     * @param samples all ids are computed after it, so the next one is sampled
     */
    record Part(Sequence sequence, int from, int count, boolean samples) {

        /** Ids that are computed after it. */
        int to() {
            return from + count;
        }
    }

    /** Whom a logit row is for: a choice to sample, or, from position 0 on, a row of the prompt to score. */
    record Target(Sequence sequence, int scoredPosition) {}

    private final List<Part> parts = new ArrayList<>();
    private final List<Target> targets = new ArrayList<>();
    private final KvCache.Copies[] copies;
    private final KvCache.Copies[] swapsOut;
    private final KvCache.Copies[] swapsIn;
    private int rows;
    private int decodeRows;
    private int preempted;

    Step(int kvGroups) {
        copies = copies(kvGroups);
        swapsOut = copies(kvGroups);
        swapsIn = copies(kvGroups);
    }

    private static KvCache.Copies[] copies(int kvGroups) {
        KvCache.Copies[] copies = new KvCache.Copies[kvGroups];
        Arrays.setAll(copies, g -> new KvCache.Copies());
        return copies;
    }

    /** Adds the next {@code count} ids; returns the count. */
    int add(Sequence s, int count) {
        parts.add(new Part(s, s.computed(), count, s.computed() + count == s.planned()));
        rows += count;
        return count;
    }

    /** Adds the one id that a decoding sequence has left. */
    void addDecode(Sequence s) {
        add(s, 1);
        decodeRows++;
    }

    void countPreemption() {
        preempted++;
    }

    List<Part> parts() {
        return parts;
    }

    /** One for each logit row; known after {@link #inputs}. */
    List<Target> targets() {
        return targets;
    }

    /** Per KV group. */
    KvCache.Copies[] copies() {
        return copies;
    }

    /** Per KV group, before anything else: blocks to the host. */
    KvCache.Copies[] swapsOut() {
        return swapsOut;
    }

    /** Per KV group, after the copies: blocks from the host. */
    KvCache.Copies[] swapsIn() {
        return swapsIn;
    }

    boolean isEmpty() {
        return parts.isEmpty();
    }

    int rows() {
        return rows;
    }

    int decodeRows() {
        return decodeRows;
    }

    int preempted() {
        return preempted;
    }

    /** The flat batch. */
    StepInputs inputs(int blockTokens) {
        int groups = copies.length;
        int sequences = parts.size();
        int[] tokens = new int[rows];
        int[] positions = new int[rows];
        int[][] slots = new int[groups][rows];
        int[] queryStart = new int[sequences + 1];
        int[] contextLen = new int[sequences];
        int[][][] tables = new int[groups][sequences][];
        List<Integer> logitRows = new ArrayList<>();
        int t = 0;
        for (int i = 0; i < sequences; i++) {
            Part part = parts.get(i);
            Sequence s = part.sequence();
            queryStart[i] = t;
            contextLen[i] = part.to();
            for (int g = 0; g < groups; g++) {
                tables[g][i] = s.blockTable(g);
            }
            for (int p = part.from(); p < part.to(); p++, t++) {
                tokens[t] = s.get(p);
                positions[t] = p;
                for (int g = 0; g < groups; g++) {
                    slots[g][t] = s.block(g, p / blockTokens) * blockTokens + p % blockTokens;
                }
                addTargets(part, p, t, logitRows);
            }
        }
        queryStart[sequences] = t;
        return new StepInputs(
                tokens,
                positions,
                slots,
                queryStart,
                contextLen,
                tables,
                logitRows.stream().mapToInt(Integer::intValue).toArray(),
                sampling(),
                new int[sequences]);
    }

    private void addTargets(Part part, int position, int row, List<Integer> logitRows) {
        Sequence s = part.sequence();
        PromptScores scores = s.group().promptScores();
        if (scores != null && s == s.group().leader() && scores.wants(position)) {
            logitRows.add(row);
            targets.add(new Target(s, position));
        }
        if (part.samples() && position == part.to() - 1) {
            logitRows.add(row);
            targets.add(new Target(s, -1));
            for (Sequence fork : s.forks()) {
                logitRows.add(row);
                targets.add(new Target(fork, -1));
            }
        }
    }

    private @Nullable SamplingRow[] sampling() {
        SamplingRow[] sampling = new SamplingRow[targets.size()];
        for (int r = 0; r < sampling.length; r++) {
            Target target = targets.get(r);
            if (target.scoredPosition() < 0) {
                sampling[r] = target.sequence().samplingRow();
            }
        }
        return sampling;
    }
}
