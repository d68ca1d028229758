package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.ListedHistory;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenMask;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Drafts that are verified give the ids and log probabilities of one row at a time, on each library. */
class DraftsTest {

    private static final int VOCABULARY = 48;
    private static final int LENGTH = 12;

    private static CpuRuntime runtime(NativeDevice device, float[] table) {
        NativeKernels kernels =
                NativeKernels.open(device == NativeDevice.CUDA ? EmulatedCuda.library() : CpuModels.library(), device);
        CpuSettings settings =
                device == NativeDevice.CUDA ? CpuSettings.DEFAULT : CpuSettings.DEFAULT.withIsa(kernels.bestIsa());
        return TableModel.load(kernels, settings, 2, VOCABULARY, table);
    }

    /** One sequence: how its ids are chosen, with a mask for every second position of some. */
    private record Choice(SamplingParams params, long seed, boolean masked) {

        SamplingRow row(int[] ids, int draft) {
            TokenMask mask = masked && ids.length % 2 == 0
                    ? TokenMask.of(
                            IntStream.range(0, VOCABULARY)
                                    .filter(id -> id % 3 != ids.length % 3)
                                    .boxed()
                                    .toList(),
                            VOCABULARY)
                    : null;
            return new SamplingRow(
                    params, seed, 0, ids.length, new ListedHistory(1, ids), new int[0], false, mask, draft);
        }
    }

    /** Sequences of several rows each. */
    private static final class Rows {
        final List<Integer> tokens = new ArrayList<>();
        final List<Integer> positions = new ArrayList<>();
        final List<Integer> starts = new ArrayList<>(List.of(0));
        final List<Integer> lengths = new ArrayList<>();
        final List<SamplingRow> sampling = new ArrayList<>();

        void add(Choice choice, int[] ids, int[] drafts) {
            int[] all =
                    IntStream.concat(Arrays.stream(ids), Arrays.stream(drafts)).toArray();
            for (int i = 0; i <= drafts.length; i++) {
                int known = ids.length + i;
                tokens.add(all[known - 1]);
                positions.add(known - 1);
                sampling.add(choice.row(Arrays.copyOf(all, known), i < drafts.length ? drafts[i] : -1));
            }
            starts.add(tokens.size());
            lengths.add(all.length);
        }

        StepInputs inputs() {
            int rows = tokens.size();
            return new StepInputs(
                    ints(tokens),
                    ints(positions),
                    new int[0][],
                    ints(starts),
                    ints(lengths),
                    new int[0][][],
                    IntStream.range(0, rows).toArray(),
                    sampling.toArray(SamplingRow[]::new),
                    new int[lengths.size()]);
        }

        private static int[] ints(List<Integer> list) {
            return list.stream().mapToInt(Integer::intValue).toArray();
        }
    }

    private static String bits(SampledToken token) {
        return token.id() + " " + Float.floatToIntBits(token.logprob()) + " " + Arrays.toString(token.topIds());
    }

    @ParameterizedTest
    @EnumSource(NativeDevice.class)
    void acceptedDraftsAreTheIdsOfOneRowAtATime(NativeDevice device) {
        Random random = new Random(5);
        float[] table = new float[VOCABULARY * VOCABULARY];
        for (int i = 0; i < table.length; i++) {
            table[i] = Math.round(random.nextGaussian() * 8) / 4f;
        }
        List<Choice> choices = List.of(
                new Choice(SamplingParams.GREEDY, 1, false),
                new Choice(new SamplingParams(1, 0, 0.9f, 0, 1, 0, 0, 1, Map.of(), -1), 2, false),
                new Choice(new SamplingParams(1, 0, 1, 0, 1, 0.4f, 0.2f, 1.3f, Map.of(3, 1f), 2), 3, false),
                new Choice(new SamplingParams(0.8f, 20, 1, 0.01f, 0.9f, 0, 0, 1, Map.of(), -1), 4, true),
                new Choice(new SamplingParams(0, 0, 1, 0, 1, 0.5f, 0.5f, 1, Map.of(), 40), 5, true));
        Sampler sampler = new Sampler(VOCABULARY);
        List<int[]> expected = new ArrayList<>();
        List<List<String>> expectedBits = new ArrayList<>();
        for (Choice choice : choices) {
            int[] ids = {7};
            List<String> bits = new ArrayList<>();
            while (ids.length <= LENGTH) {
                int last = ids[ids.length - 1];
                float[] logits = Arrays.copyOfRange(table, last * VOCABULARY, (last + 1) * VOCABULARY);
                SampledToken token = sampler.sample(logits, choice.row(ids, -1));
                bits.add(bits(token));
                ids = Arrays.copyOf(ids, ids.length + 1);
                ids[ids.length - 1] = token.id();
            }
            expected.add(ids);
            expectedBits.add(bits);
        }
        try (CpuRuntime runtime = runtime(device, table)) {
            for (int round = 0; round < 40; round++) {
                Rows rows = new Rows();
                int[] done = new int[choices.size()];
                int[] right = new int[choices.size()];
                int[] count = new int[choices.size()];
                for (int c = 0; c < choices.size(); c++) {
                    int[] whole = expected.get(c);
                    done[c] = 1 + random.nextInt(LENGTH - 6);
                    count[c] = random.nextInt(6);
                    int[] drafts = Arrays.copyOfRange(whole, done[c], done[c] + count[c]);
                    right[c] = random.nextInt(count[c] + 1);
                    if (right[c] < count[c]) {
                        drafts[right[c]] = (drafts[right[c]] + 1 + random.nextInt(VOCABULARY - 1)) % VOCABULARY;
                    }
                    rows.add(choices.get(c), Arrays.copyOf(whole, done[c]), drafts);
                }
                StepOutputs out = runtime.run(rows.inputs());
                assertThat(out.errors()).isNull();
                int at = 0;
                for (int c = 0; c < choices.size(); c++) {
                    for (int r = 0; r <= count[c]; r++, at++) {
                        SampledToken token = out.sampled()[at];
                        assertThat(token == null ? "refused" : bits(token))
                                .as("round %d, choice %d, row %d of %d, %d right", round, c, r, count[c], right[c])
                                .isEqualTo(
                                        r > right[c]
                                                ? "refused"
                                                : expectedBits.get(c).get(done[c] - 1 + r));
                    }
                }
            }
        }
    }
}
