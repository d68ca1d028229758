package io.millrace.worker.backend.check;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenHistory;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * Steps of a check on one runtime: two sequences of fixed ids, a short one and one that is longer than a chunk of attention, whose prompts are computed
 * and which then decode, a token a step. Not thread-safe.
 */
final class CheckSteps {

    static final int BLOCK_TOKENS = 16;
    static final int BLOCKS = 64;

    /** Most rows and logit rows of a step. */
    static final int ROWS = 336;

    static final int LOGIT_ROWS = 16;
    static final int MAX_LENGTH = 320;

    private static final int SHORT = 37;
    private static final int LONG = 290;

    /** The step of a bucket that is captured, and one that replays it. */
    private static final int DECODES = 3;

    /** How the long prompt is cut when it is alone; a chunk of attention has as many. */
    private static final int CHUNK = 256;

    /** Rows of a prompt whose logits come back. */
    private static final int TOLD = 6;

    private final ModelRuntime runtime;
    private int wrongIds;
    private int steps;

    CheckSteps(ModelRuntime runtime) {
        this.runtime = runtime;
    }

    /** A sequence under way. */
    private final class Sequence {
        private final int[] ids;
        private final int firstBlock;
        private final List<float[]> logits = new ArrayList<>();
        private int computed;

        Sequence(int seed, int prompt, int firstBlock) {
            this.ids = new Random(seed)
                    .ints(prompt + DECODES, 0, runtime.vocabularySize())
                    .toArray();
            this.firstBlock = firstBlock;
        }

        int prompt() {
            return ids.length - DECODES;
        }

        /** Blocks in an order of their own, a step of 3 apart. */
        int block(int i) {
            return (firstBlock + 3 * i) % BLOCKS;
        }
    }

    /** Logits of both sequences' rows, each computed by itself: the prompt, in two chunks where it is long, then the decodes. */
    List<float[]> alone() {
        List<float[]> all = new ArrayList<>();
        for (Sequence s : List.of(new Sequence(1, SHORT, 0), new Sequence(2, LONG, 1))) {
            for (int rest = s.prompt(); rest > 0; rest = s.prompt() - s.computed) {
                step(List.of(s), List.of(Math.min(CHUNK, rest)));
            }
            for (int i = 0; i < DECODES; i++) {
                step(List.of(s), List.of(1));
            }
            all.addAll(s.logits);
        }
        return all;
    }

    /** The same rows, both sequences in every step, in other blocks. */
    List<float[]> together() {
        List<Sequence> both = List.of(new Sequence(1, SHORT, 5), new Sequence(2, LONG, 6));
        step(both, List.of(SHORT, LONG));
        for (int i = 0; i < DECODES; i++) {
            step(both, List.of(1, 1));
        }
        List<float[]> all = new ArrayList<>();
        both.forEach(s -> all.addAll(s.logits));
        return all;
    }

    /** Ids so far that were not that of the largest logit. */
    int wrongIds() {
        return wrongIds;
    }

    int steps() {
        return steps;
    }

    private void step(List<Sequence> sequences, List<Integer> rows) {
        int t = rows.stream().mapToInt(Integer::intValue).sum();
        int[] tokens = new int[t];
        int[] positions = new int[t];
        int[] slots = new int[t];
        int[] start = new int[sequences.size() + 1];
        int[] context = new int[sequences.size()];
        int[][] blocks = new int[sequences.size()][];
        List<Integer> told = new ArrayList<>();
        List<SamplingRow> sampling = new ArrayList<>();
        List<Sequence> owners = new ArrayList<>();
        int row = 0;
        for (int s = 0; s < sequences.size(); s++) {
            Sequence of = sequences.get(s);
            start[s] = row;
            for (int i = 0; i < rows.get(s); i++, row++) {
                int position = of.computed + i;
                tokens[row] = of.ids[position];
                positions[row] = position;
                slots[row] = of.block(position / BLOCK_TOKENS) * BLOCK_TOKENS + position % BLOCK_TOKENS;
                if (position >= of.prompt() - TOLD) {
                    told.add(row);
                    sampling.add(greedy(position + 1));
                    owners.add(of);
                }
            }
            of.computed += rows.get(s);
            context[s] = of.computed;
            blocks[s] = new int[(of.computed + BLOCK_TOKENS - 1) / BLOCK_TOKENS];
            for (int i = 0; i < blocks[s].length; i++) {
                blocks[s][i] = of.block(i);
            }
        }
        start[sequences.size()] = row;
        StepOutputs out = runtime.run(new StepInputs(
                tokens,
                positions,
                new int[][] {slots},
                start,
                context,
                new int[][][] {blocks},
                told.stream().mapToInt(Integer::intValue).toArray(),
                sampling.toArray(SamplingRow[]::new),
                new int[sequences.size()]));
        steps++;
        take(out, owners);
    }

    private static SamplingRow greedy(int position) {
        return new SamplingRow(SamplingParams.GREEDY, 0, 0, position, TokenHistory.NONE, new int[0], true);
    }

    private void take(StepOutputs out, List<Sequence> owners) {
        for (int r = 0; r < owners.size(); r++) {
            float[] logits = Objects.requireNonNull(out.logits())[r];
            owners.get(r).logits.add(logits);
            SampledToken chosen = out.sampled()[r];
            wrongIds += chosen != null && chosen.id() == largest(logits) ? 0 : 1;
        }
    }

    /** The lowest id of the largest. */
    private static int largest(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            best = logits[i] > logits[best] ? i : best;
        }
        return best;
    }

    /** How many rows of the two differ in a bit, and which is the first; null: none. */
    static @Nullable String differences(List<float[]> one, List<float[]> other) {
        int different = 0;
        int first = -1;
        for (int r = 0; r < one.size(); r++) {
            for (int i = 0; i < one.get(r).length; i++) {
                if (Float.floatToRawIntBits(one.get(r)[i]) != Float.floatToRawIntBits(other.get(r)[i])) {
                    first = first < 0 ? r : first;
                    different++;
                    break;
                }
            }
        }
        return different == 0 ? null : different + " of " + one.size() + " rows, row " + first + " first";
    }

    /** Root mean square of the differences, relative to the deviation of what is expected; NaN where a value is. */
    static double difference(List<float[]> actual, List<float[]> expected) {
        double error = 0;
        double squares = 0;
        double sum = 0;
        long n = 0;
        for (int r = 0; r < expected.size(); r++) {
            for (int i = 0; i < expected.get(r).length; i++) {
                double e = expected.get(r)[i];
                error += Math.pow(actual.get(r)[i] - e, 2);
                squares += e * e;
                sum += e;
                n++;
            }
        }
        return Math.sqrt(error / (squares - sum * sum / n));
    }
}
