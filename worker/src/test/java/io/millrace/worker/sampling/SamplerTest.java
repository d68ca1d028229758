package io.millrace.worker.sampling;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.millrace.shared.error.MillraceException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class SamplerTest {

    private static final int[] NONE = {};

    @Test
    void greedyTakesTheLowestIdOfATie() {
        assertThat(id(new float[] {1, 3, 3, 2}, SamplingParams.GREEDY)).isEqualTo(1);
    }

    @Test
    void aNanOrInfiniteLogitFailsAndNamesIt() {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            for (int at = 0; at < 3; at++) {
                float[] logits = {1, 2, 3};
                logits[at] = bad;
                int where = at;
                assertThatThrownBy(() -> id(logits, SamplingParams.GREEDY))
                        .isInstanceOf(MillraceException.class)
                        .hasMessageContaining("Logit " + where + " of 3 is " + bad)
                        .extracting(e -> ((MillraceException) e).code())
                        .isEqualTo("MR-SAMPLING-001");
            }
        }
    }

    @Test
    void suppressedIdsAreNeverChosenAndNoneLeftFails() {
        float[] logits = {1, 3, 2};
        assertThat(sample(logits, row(SamplingParams.GREEDY, 0, history(0), 1)).id())
                .isEqualTo(2);
        for (int i = 0; i < 200; i++) {
            assertThat(sample(logits, row(params(5, 0, 1, 0, 1), i, history(0), 1))
                            .id())
                    .isNotEqualTo(1);
        }
        assertThatThrownBy(() -> sample(logits, row(SamplingParams.GREEDY, 0, history(0), 0, 1, 2)))
                .hasMessageContaining("3 ids suppressed");
    }

    @Test
    void penaltiesCountAsTheirUsersExpect() {
        // prompt 0 1, output 1 1 2
        TokenHistory history = history(2, 0, 1, 1, 1, 2);
        float[] logits = {4, 4, 4, 4 - 1e-3f, -1};
        assertThat(sample(logits, row(penalties(0.5f, 0, 1), 0, history)).id()).isEqualTo(0);
        // frequency 0.4 twice for id 1, once for id 2
        assertThat(sample(new float[] {0, 4, 3.5f}, row(penalties(0, 0.4f, 1), 0, history))
                        .id())
                .isEqualTo(1);
        assertThat(sample(new float[] {0, 4, 3.7f}, row(penalties(0, 0.4f, 1), 0, history))
                        .id())
                .isEqualTo(2);
        // repetition counts the prompt too: 0, 1, 2 are divided, the negative one multiplied
        assertThat(sample(logits, row(penalties(0, 0, 1.5f), 0, history)).id()).isEqualTo(3);
        assertThat(sample(new float[] {-1, -1.2f, -3, -1.4f}, row(penalties(0, 0, 1.5f), 0, history))
                        .id())
                .isEqualTo(3);
    }

    @Test
    void logitBiasMovesTheChoiceButNotTheLogprobs() {
        SamplingParams p = new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1, Map.of(2, 100f, 70, 5f), 2);
        SampledToken t = sample(new float[] {1, 2, 0}, row(p, 0, history(0)));
        double z = Math.log(Math.exp(1) + Math.exp(2) + 1);
        assertThat(t.id()).isEqualTo(2);
        assertThat(t.logprob()).isCloseTo((float) -z, within(1e-6f));
        assertThat(t.topIds()).containsExactly(1, 0);
        assertThat(t.topLogprobs()[0]).isCloseTo((float) (2 - z), within(1e-6f));
    }

    @Test
    void logprobsOfAVocabularyAreThoseOfDoubleArithmetic() {
        float[] logits = logits(50_000, 3, 8);
        SampledToken t = sample(logits, row(withLogprobs(20), 0, history(0)));
        double z = 0;
        for (float x : logits) {
            z += Math.exp(x);
        }
        Integer[] order = order(logits);
        assertThat(t.topIds())
                .containsExactly(Arrays.stream(order)
                        .limit(20)
                        .mapToInt(Integer::intValue)
                        .toArray());
        for (int i = 0; i < 20; i++) {
            assertThat((double) t.topLogprobs()[i]).isCloseTo(logits[order[i]] - Math.log(z), within(2e-6));
        }
    }

    @Test
    void topKAndTopPAndMinPKeepExactlyTheIdsOfASortedReference() {
        Random random = new Random(5);
        for (int round = 0; round < 60; round++) {
            int n = 2 + random.nextInt(400);
            float[] logits = logits(n, round, 0.5 + random.nextDouble() * 4);
            if (round % 3 == 0) {
                for (int i = 0; i < n; i++) {
                    logits[i] = Math.round(logits[i]);
                }
            }
            int k = random.nextInt(3) == 0 ? 0 : 1 + random.nextInt(n);
            float topP = random.nextInt(3) == 0 ? 1 : random.nextFloat();
            float minP = random.nextInt(3) == 0 ? random.nextFloat() * 0.3f : 0;
            float temperature = 0.2f + random.nextFloat() * 2;
            SamplingParams p = params(temperature, k, topP, minP, 1);
            Set<Integer> allowed = reference(logits, p);
            Set<Integer> drawn = new TreeSet<>();
            Sampler sampler = new Sampler(n);
            for (int i = 0; i < 300; i++) {
                drawn.add(sampler.sample(logits, row(p, i, history(0))).id());
            }
            assertThat(allowed).as("round %d %s", round, p).containsAll(drawn);
            if (allowed.size() == 1) {
                assertThat(drawn).isEqualTo(allowed);
            }
        }
    }

    @Test
    void drawsFollowTheFilteredDistribution() {
        float[] logits = {0, 1, 2, 0.5f, -1, 1.5f};
        follows(logits, params(1, 0, 1, 0, 1));
        follows(logits, params(0.7f, 3, 1, 0, 1));
        follows(logits, params(1.3f, 0, 0.8f, 0, 1));
        follows(logits, params(1, 4, 0.9f, 0.1f, 1));
        follows(logits(3000, 1, 1), params(0.25f, 0, 0.2f, 0, 1));
        follows(logits(3000, 1, 1), params(0.25f, 0, 1, 0, 1));
    }

    @Test
    void typicalKeepsWhatIsNearTheEntropy() {
        // one id that is too predictable, and six whose surprise is near the entropy
        float[] logits = {2, 1, 1, 1, 1, 1, 1, -6};
        double[] p = new double[logits.length];
        double z = IntStream.range(0, logits.length)
                .mapToDouble(i -> p[i] = Math.exp(logits[i]))
                .sum();
        double h = 0;
        for (double v : p) {
            h -= v / z * Math.log(v / z);
        }
        double entropy = h;
        double dominant = Math.abs(-Math.log(p[0] / z) - entropy);
        double middle = Math.abs(-Math.log(p[1] / z) - entropy);
        assertThat(middle).isLessThan(dominant);
        SamplingParams params = params(1, 0, 1, 0, 0.3f);
        for (int i = 0; i < 300; i++) {
            assertThat(sample(logits, row(params, i, history(0))).id()).isBetween(1, 6);
        }
    }

    @Test
    void aTinyTemperatureIsGreedyAndATopPOfZeroTakesTheBest() {
        float[] logits = logits(1000, 9, 3);
        int best = order(logits)[0];
        for (int i = 0; i < 50; i++) {
            assertThat(sample(logits, row(params(1e-30f, 0, 1, 0, 1), i, history(0)))
                            .id())
                    .isEqualTo(best);
            assertThat(sample(logits, row(params(2, 0, 0, 0, 1), i, history(0))).id())
                    .isEqualTo(best);
        }
    }

    @Test
    void aRowInMemoryOrInsideABiggerArrayGivesTheSame() {
        int n = 1000;
        float[] batch = logits(3 * n, 4, 2);
        SamplingRow row = row(new SamplingParams(0.8f, 40, 0.9f, 0, 1, 0, 0, 1, Map.of(), 3), 12, history(0));
        Sampler sampler = new Sampler(n);
        SampledToken alone = sampler.sample(Arrays.copyOfRange(batch, n, 2 * n), row);
        assertThat(sampler.sample(batch, n, row)).usingRecursiveComparison().isEqualTo(alone);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment segment = arena.allocateFrom(ValueLayout.JAVA_FLOAT, batch);
            assertThat(sampler.sample(segment, 4L * n, row))
                    .usingRecursiveComparison()
                    .isEqualTo(alone);
        }
        assertThat(sampler.score(batch, n, alone.id(), 3))
                .usingRecursiveComparison()
                .isEqualTo(alone);
    }

    @Test
    void leavesNothingBehindForTheNextRow() {
        int n = 500;
        float[] logits = logits(n, 2, 2);
        Sampler used = new Sampler(n);
        SamplingRow heavy = row(penalties(1, 1, 1.3f), 3, history(2, 5, 6, 7, 7, 8), 1, 2, 3);
        SamplingRow plain = row(params(1, 0, 0.9f, 0, 1), 77, history(0));
        used.sample(logits, heavy);
        assertThat(used.sample(logits, plain).id())
                .isEqualTo(new Sampler(n).sample(logits, plain).id());
        assertThat(used.sample(logits, heavy).id())
                .isEqualTo(new Sampler(n).sample(logits, heavy).id());
    }

    private static void follows(float[] logits, SamplingParams p) {
        Set<Integer> allowed = reference(logits, p);
        double[] expected = new double[logits.length];
        double z = 0;
        float max = logits[order(logits)[0]];
        for (int id : allowed) {
            expected[id] = Math.exp((logits[id] - max) / p.temperature());
            z += expected[id];
        }
        int draws = 20_000;
        int[] seen = new int[logits.length];
        Sampler sampler = new Sampler(logits.length);
        for (int i = 0; i < draws; i++) {
            seen[
                    sampler.sample(logits, new SamplingRow(p, 1234, i % 4, i / 4, history(0), NONE, false))
                            .id()]++;
        }
        double chi2 = 0;
        int bins = 0;
        double restExpected = 0;
        double restSeen = 0;
        for (int id : allowed) {
            double e = expected[id] / z * draws;
            if (e < 8) {
                restExpected += e;
                restSeen += seen[id];
            } else {
                chi2 += (seen[id] - e) * (seen[id] - e) / e;
                bins++;
            }
        }
        if (restExpected > 8) {
            chi2 += (restSeen - restExpected) * (restSeen - restExpected) / restExpected;
            bins++;
        }
        // mean + 4.5 standard deviations of chi-square
        assertThat(chi2).as("%s over %d bins", p, bins).isLessThan(bins + 4.5 * Math.sqrt(2.0 * bins));
        assertThat(IntStream.range(0, seen.length)
                        .filter(i -> seen[i] > 0)
                        .boxed()
                        .toList())
                .allMatch(allowed::contains);
    }

    /** The ids that the filters leave, by sorting. */
    private static Set<Integer> reference(float[] logits, SamplingParams p) {
        Integer[] order = order(logits);
        int n = p.topK() > 0 ? Math.min(p.topK(), logits.length) : logits.length;
        double[] weight = new double[n];
        double mass = 0;
        for (int i = 0; i < n; i++) {
            weight[i] = Math.exp((logits[order[i]] - logits[order[0]]) / (double) p.temperature());
            mass += weight[i];
        }
        Set<Integer> kept = new TreeSet<>();
        double sum = 0;
        for (int i = 0; i < n; i++) {
            if (weight[i] >= p.minP() * (1 - 1e-6)) {
                kept.add(order[i]);
            }
            sum += weight[i];
            if (sum >= p.topP() * mass * (1 + 1e-6)) {
                break;
            }
        }
        return kept;
    }

    private static Integer[] order(float[] logits) {
        Integer[] order = IntStream.range(0, logits.length).boxed().toArray(Integer[]::new);
        Arrays.sort(order, Comparator.comparing((Integer i) -> -logits[i]).thenComparing(i -> i));
        return order;
    }

    private static float[] logits(int n, long seed, double deviation) {
        Random random = new Random(seed);
        float[] x = new float[n];
        for (int i = 0; i < n; i++) {
            x[i] = (float) (random.nextGaussian() * deviation);
        }
        return x;
    }

    private static int id(float[] logits, SamplingParams p) {
        return sample(logits, row(p, 0, history(0))).id();
    }

    private static SampledToken sample(float[] logits, SamplingRow row) {
        return new Sampler(logits.length).sample(logits, row);
    }

    private static SamplingParams params(float temperature, int topK, float topP, float minP, float typicalP) {
        return new SamplingParams(temperature, topK, topP, minP, typicalP, 0, 0, 1, Map.of(), -1);
    }

    private static SamplingParams penalties(float presence, float frequency, float repetition) {
        return new SamplingParams(0, 0, 1, 0, 1, presence, frequency, repetition, Map.of(), -1);
    }

    private static SamplingParams withLogprobs(int k) {
        return new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1, Map.of(), k);
    }

    private static SamplingRow row(SamplingParams p, int position, TokenHistory history, int... suppressed) {
        return new SamplingRow(p, 42, 0, position, history, suppressed, false);
    }

    private static TokenHistory history(int promptLength, int... ids) {
        return new ListedHistory(promptLength, ids);
    }
}
