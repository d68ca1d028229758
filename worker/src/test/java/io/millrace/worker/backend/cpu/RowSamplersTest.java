package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.model.TestModels;
import io.millrace.worker.sampling.ListedHistory;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenHistory;
import io.millrace.worker.sampling.TokenMask;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What the kernels draw is what {@link Sampler} chooses. */
class RowSamplersTest {

    private static final int ROWS = 12;
    private static final TokenHistory HISTORY = new ListedHistory(1, 0, 1, 2);

    private static CpuRuntime runtime;

    @BeforeAll
    static void load() {
        CpuModels.library();
        runtime =
                (CpuRuntime) CpuModels.load(TestModels.smollm2(), GoldenModels.blocks(16, 32), 3, CpuSettings.DEFAULT);
    }

    @AfterAll
    static void close() {
        if (runtime != null) {
            runtime.close();
        }
    }

    @Test
    void theKernelsDrawTheIdsOfTheSampler() {
        int n = runtime.vocabularySize();
        Random random = new Random(17);
        Sampler sampler = new Sampler(n);
        for (int round = 0; round < 40; round++) {
            float[] logits = new float[ROWS * n];
            SamplingRow[] rows = new SamplingRow[ROWS];
            for (int r = 0; r < ROWS; r++) {
                fill(logits, r * n, n, random);
                rows[r] = row(params(random, n), random.nextLong(), random.nextInt(5000));
            }
            StepOutputs out = sample(logits, rows);
            for (int r = 0; r < ROWS; r++) {
                SampledToken token = out.sampled()[r];
                assertThat(token).isNotNull();
                assertThat(token.id())
                        .as("round %d, row %d, %s", round, r, rows[r].params())
                        .isEqualTo(sampler.sample(logits, r * n, rows[r]).id());
            }
            assertThat(out.errors()).isNull();
            assertThat(out.logits()).isNull();
        }
    }

    @Test
    void rowsThatWantMoreThanAnIdAndBrokenOnesGetWhatTheSamplerGives() {
        int n = runtime.vocabularySize();
        float[] logits = new float[8 * n];
        Random random = new Random(3);
        for (int r = 0; r < 8; r++) {
            fill(logits, r * n, n, random);
        }
        logits[n + 77] = Float.NaN;
        logits[2 * n - 1 + n] = Float.POSITIVE_INFINITY;
        Arrays.fill(logits, 3 * n, 4 * n, Float.NEGATIVE_INFINITY);
        SamplingParams plain = new SamplingParams(0.8f, 0, 0.9f, 0, 1, 0, 0, 1, Map.of(), -1);
        SamplingRow[] rows = {
            row(new SamplingParams(0.8f, 0, 0.9f, 0, 1, 0, 0, 1, Map.of(), 3), 1, 1),
            row(plain, 1, 1),
            row(SamplingParams.GREEDY, 1, 1),
            row(plain, 1, 1),
            row(new SamplingParams(0.8f, 0, 0.9f, 0, 0.5f, 0, 0, 1, Map.of(), -1), 1, 1),
            row(new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1.4f, Map.of(5, 90f), -1), 1, 1),
            new SamplingRow(plain, 1, 0, 1, HISTORY, new int[0], true, TokenMask.of(List.of(9, 4000), n)),
            null
        };
        StepOutputs out = sample(logits, rows);
        @Nullable MillraceException[] errors = Objects.requireNonNull(out.errors());
        float[][] raw = Objects.requireNonNull(out.logits());
        assertThat(Arrays.stream(errors).map(e -> e == null ? "" : e.code()))
                .containsExactly("", "MR-SAMPLING-001", "MR-SAMPLING-001", "MR-SAMPLING-002", "", "", "", "");
        Sampler sampler = new Sampler(n);
        for (int r : new int[] {0, 4, 5, 6}) {
            SampledToken token = Objects.requireNonNull(out.sampled()[r]);
            SampledToken expected = sampler.sample(logits, r * n, rows[r]);
            assertThat(token.id()).as("row %d", r).isEqualTo(expected.id());
            assertThat(Float.compare(token.logprob(), expected.logprob()))
                    .as("row %d", r)
                    .isZero();
            assertThat(token.topIds()).as("row %d", r).isEqualTo(expected.topIds());
        }
        assertThat(Objects.requireNonNull(out.sampled()[5]).id()).isEqualTo(5);
        assertThat(Objects.requireNonNull(out.sampled()[6]).id()).isIn(9, 4000);
        assertThat(raw[6]).isEqualTo(Arrays.copyOfRange(logits, 6 * n, 7 * n));
        assertThat(raw[7]).isEqualTo(Arrays.copyOfRange(logits, 7 * n, 8 * n));
        assertThat(raw[0]).isNull();
    }

    private static StepOutputs sample(float[] logits, SamplingRow[] rows) {
        try (Arena arena = Arena.ofShared()) {
            return runtime.samplers().sample(arena.allocateFrom(ValueLayout.JAVA_FLOAT, logits), rows);
        }
    }

    /** Peaked, flat, full of ties, or with ids that are out of the question. */
    private static void fill(float[] logits, int from, int n, Random random) {
        double deviation = Math.pow(10, random.nextDouble() * 2 - 1);
        int kind = random.nextInt(4);
        for (int i = from; i < from + n; i++) {
            float x = (float) (random.nextGaussian() * deviation);
            logits[i] = switch (kind) {
                case 0 -> Math.round(x);
                case 1 -> random.nextInt(3) == 0 ? Float.NEGATIVE_INFINITY : x;
                case 2 -> random.nextInt(1000) == 0 ? x + 12 : x;
                default -> x;
            };
        }
    }

    private static SamplingParams params(Random random, int n) {
        float[] temperatures = {0, 1e-30f, 0.05f, 0.7f, 1, 1, 3.5f};
        int[] tops = {0, 0, 0, 1, 2, 40, 5000, n, n + 1};
        return new SamplingParams(
                temperatures[random.nextInt(temperatures.length)],
                tops[random.nextInt(tops.length)],
                random.nextInt(3) == 0 ? 1 : random.nextInt(20) == 0 ? 0 : random.nextFloat(),
                random.nextInt(3) == 0 ? random.nextFloat() * 0.5f : 0,
                1,
                0,
                0,
                1,
                Map.of(),
                -1);
    }

    private static SamplingRow row(SamplingParams params, long seed, int position) {
        return new SamplingRow(params, seed, (int) (seed & 3), position, HISTORY, new int[0], false);
    }
}
