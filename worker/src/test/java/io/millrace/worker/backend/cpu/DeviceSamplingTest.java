package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.ListedHistory;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenMask;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The sampler of the CUDA kernels, under their emulator, against the one of the host: the same ids, log probabilities and failures. */
class DeviceSamplingTest {

    private static final int TABLES = 5;

    private static CpuRuntime runtime(int vocabulary, float[] table) {
        NativeKernels kernels = NativeKernels.open(EmulatedCuda.library(), NativeDevice.CUDA);
        return TableModel.load(kernels, CpuSettings.DEFAULT, 1, vocabulary, table);
    }

    private static StepInputs step(int[] tokens, @Nullable SamplingRow[] rows) {
        int n = tokens.length;
        int[] each = IntStream.range(0, n).toArray();
        int[] ones = new int[n];
        Arrays.fill(ones, 1);
        return new StepInputs(
                tokens,
                new int[n],
                new int[0][],
                IntStream.rangeClosed(0, n).toArray(),
                ones,
                new int[0][][],
                each,
                rows,
                new int[n]);
    }

    /** Of the host, or why there is none. */
    private static String expected(float[] logits, SamplingRow row) {
        try {
            return bits(new Sampler(logits.length).sample(logits, row));
        } catch (MillraceException e) {
            return e.code() + e.getMessage();
        }
    }

    private static String bits(SampledToken token) {
        int[] logprobs = new int[token.topIds().length];
        Arrays.setAll(logprobs, i -> Float.floatToRawIntBits(token.topLogprobs()[i]));
        return token.id() + " " + Float.floatToIntBits(token.logprob()) + " " + Arrays.toString(token.topIds()) + " "
                + Arrays.toString(logprobs);
    }

    private static String actual(StepOutputs out, int r) {
        MillraceException error = out.errors() == null ? null : out.errors()[r];
        SampledToken token = out.sampled()[r];
        return error != null ? error.code() + error.getMessage() : token == null ? "none" : bits(token);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 33, 1_031, 4_999})
    void theDeviceChoosesAsTheHostDoes(int vocabulary) {
        Random random = new Random(vocabulary);
        float[] table = table(vocabulary, random);
        int rounds = vocabulary > 1000 ? 12 : 60;
        try (CpuRuntime runtime = runtime(vocabulary, table)) {
            for (int round = 0; round < rounds; round++) {
                int[] tokens = {random.nextInt(TABLES), random.nextInt(TABLES), random.nextInt(TABLES)};
                SamplingRow[] rows = new SamplingRow[tokens.length];
                Arrays.setAll(rows, r -> row(vocabulary, random));
                StepOutputs out = runtime.run(step(tokens, rows));
                for (int r = 0; r < rows.length; r++) {
                    float[] logits = Arrays.copyOfRange(table, tokens[r] * vocabulary, (tokens[r] + 1) * vocabulary);
                    assertThat(actual(out, r))
                            .as("%d ids, round %d, table %d: %s", vocabulary, round, tokens[r], rows[r])
                            .isEqualTo(expected(logits, rows[r]));
                }
            }
            assertThat(runtime.copiedRows()).isZero();
        }
    }

    @Test
    void whatTheDeviceDoesNotGiveIsCopiedAndCounted() {
        int vocabulary = 90;
        Random random = new Random(3);
        float[] table = table(vocabulary, random);
        SamplingParams many = new SamplingParams(1, 0, 1, 0, 1, 0, 0, 1, Map.of(), 50);
        SamplingRow sampled = new SamplingRow(many, 1, 0, 5, ListedHistory.NONE, new int[0], false);
        SamplingRow both = new SamplingRow(SamplingParams.GREEDY, 1, 0, 5, ListedHistory.NONE, new int[0], true);
        try (CpuRuntime runtime = runtime(vocabulary, table)) {
            StepOutputs out = runtime.run(step(new int[] {0, 1, 2}, new SamplingRow[] {null, sampled, both}));
            float[][] logits = Objects.requireNonNull(out.logits());
            assertThat(logits[0]).isEqualTo(Arrays.copyOf(table, vocabulary));
            assertThat(logits[1]).isNull();
            assertThat(logits[2]).isEqualTo(Arrays.copyOfRange(table, 2 * vocabulary, 3 * vocabulary));
            float[] second = Arrays.copyOfRange(table, vocabulary, 2 * vocabulary);
            assertThat(actual(out, 1)).isEqualTo(expected(second, sampled));
            assertThat(Objects.requireNonNull(out.sampled()[1]).topIds()).hasSize(50);
            assertThat(runtime.feeds(sampled)).isFalse();
            assertThat(runtime.feeds(both)).isTrue();
            assertThat(runtime.copiedRows()).isEqualTo(3);
        }
    }

    /** Spread out, all alike, with ties, with ids that cannot be, and with one that is no number. */
    private static float[] table(int vocabulary, Random random) {
        float[] table = new float[TABLES * vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            table[i] = (float) random.nextGaussian() * 4;
            table[2 * vocabulary + i] = Math.round(random.nextGaussian() * 2);
            table[3 * vocabulary + i] =
                    i > 0 && random.nextBoolean() ? Float.NEGATIVE_INFINITY : (float) random.nextGaussian() * 30;
            table[4 * vocabulary + i] = (float) random.nextGaussian();
        }
        table[5 * vocabulary - 1] = random.nextBoolean() ? Float.NaN : Float.POSITIVE_INFINITY;
        return table;
    }

    private static SamplingRow row(int vocabulary, Random random) {
        float[] temperatures = {0, 1e-38f, 0.2f, 0.9f, 1, 2, 100};
        boolean penalties = random.nextInt(3) == 0;
        Map<Integer, Float> bias = new HashMap<>();
        if (random.nextInt(4) == 0) {
            bias.put(random.nextInt(vocabulary), random.nextFloat() * 20 - 10);
            bias.put(vocabulary + 1, 5f);
        }
        SamplingParams params = new SamplingParams(
                temperatures[random.nextInt(temperatures.length)],
                random.nextBoolean() ? 0 : 1 + random.nextInt(2 * vocabulary),
                random.nextBoolean() ? 1 : random.nextFloat(),
                random.nextInt(3) == 0 ? random.nextFloat() * random.nextFloat() : 0,
                random.nextInt(3) == 0 ? 0.01f + 0.9f * random.nextFloat() : 1,
                penalties ? random.nextFloat() - 0.5f : 0,
                penalties ? random.nextFloat() - 0.5f : 0,
                penalties ? 0.5f + random.nextFloat() : 1,
                bias,
                random.nextInt(4) == 0 ? random.nextInt(21) : -1);
        int[] ids = random.ints(random.nextInt(40), -1, vocabulary + 1)
                .map(id -> Math.max(id, 0))
                .toArray();
        int[] suppressed = random.nextInt(3) == 0
                ? random.ints(random.nextInt(4), 0, vocabulary + 2).toArray()
                : new int[0];
        return new SamplingRow(
                params,
                random.nextLong(),
                random.nextInt(4),
                random.nextInt(5000),
                new ListedHistory(random.nextInt(ids.length + 1), ids),
                suppressed,
                false,
                random.nextInt(3) == 0 ? mask(vocabulary, random) : null);
    }

    private static TokenMask mask(int vocabulary, Random random) {
        int one = random.nextInt(8);
        List<Integer> allowed = IntStream.range(0, vocabulary)
                .filter(id -> one == 0 ? id == vocabulary / 2 : random.nextInt(8) < one)
                .boxed()
                .toList();
        return TokenMask.of(allowed, vocabulary);
    }
}
