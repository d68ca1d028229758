package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.config;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.mock.MockConfig;
import io.millrace.worker.backend.mock.MockTokens;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Sampling through the whole engine, with real logits: what a request gets does not depend on its company. */
class EngineSamplingTest {

    private static final int VOCABULARY = 300;
    private static final MockTokens TOKENS = new MockTokens(3, VOCABULARY, -1, 0);

    @Test
    void theSameSeedGivesTheSameBytesWhateverTheBatchThePoolAndTheChunks() throws Exception {
        List<Requests> requests = requests();
        List<Recorder> alone = new ArrayList<>();
        try (MockEngine e = new MockEngine(config(80), roomy())) {
            for (Requests r : requests) {
                alone.add(e.run(r));
            }
        }
        try (MockEngine e = new MockEngine(
                config(80).withMaxBatchedTokens(11),
                MockConfig.of(TOKENS, 4, 30).withRealSampling())) {
            List<Recorder> together = requests.stream().map(e::submit).toList();
            for (int i = 0; i < requests.size(); i++) {
                Recorder r = together.get(i).await();
                for (int c = 0; c < 2; c++) {
                    same(r.tokens(c), alone.get(i).tokens(c));
                    assertThat(r.text(c)).isEqualTo(alone.get(i).text(c));
                }
            }
            assertThat(e.engine.load().preemptions()).isPositive();
        }
    }

    @Test
    void resumedChoicesKeepTheirPenaltiesAndRandomNumbers() throws Exception {
        try (MockEngine e = new MockEngine(config(80), roomy())) {
            for (Requests request : requests()) {
                Recorder whole = e.run(request);
                List<int[]> accepted = List.of(Arrays.copyOf(whole.ids(0), 9), Arrays.copyOf(whole.ids(1), 17));
                Recorder resumed = e.run(request.accepted(accepted));
                for (int c = 0; c < 2; c++) {
                    assertThat(resumed.ids(c)).isEqualTo(whole.ids(c));
                    List<SampledToken> tokens = whole.tokens(c);
                    same(resumed.tokens(c), tokens.subList(accepted.get(c).length, tokens.size()));
                }
            }
        }
    }

    /** With whatever looks at the ids so far, at every place, alone and in company. */
    @Test
    void resumedChoicesKeepEveryParameter() throws Exception {
        SamplingParams params = new SamplingParams(1.2f, 30, 0.95f, 0.01f, 0.9f, 0.5f, 0.3f, 1.1f, Map.of(9, 3f), 2);
        Integer[] few = IntStream.rangeClosed(1, 40).boxed().toArray(Integer[]::new);
        try (MockEngine e = new MockEngine(config(80), roomy())) {
            Requests request = Requests.of("r", 5, 6, 7)
                    .n(2)
                    .maxTokens(30)
                    .sampling(params, 77)
                    .allowed(VOCABULARY, few)
                    .stopIds(9, 11)
                    .minTokens(18)
                    .badWords(new int[] {12}, new int[] {20, 21}, new int[] {22, 20});
            Recorder whole = e.run(request);
            for (int c = 0; c < 2; c++) {
                assertThat(whole.ids(c).length).isGreaterThan(18);
                assertThat(Arrays.copyOf(whole.ids(c), 18)).doesNotContain(9, 11);
                assertThat(whole.ids(c)).doesNotContain(12);
                assertThat(Arrays.stream(whole.ids(c)).allMatch(id -> id >= 1 && id <= 40))
                        .isTrue();
            }
            List<Recorder> parts = new ArrayList<>();
            for (int at = 0; at < 18; at++) {
                parts.add(e.submit(
                        request.accepted(List.of(Arrays.copyOf(whole.ids(0), at), Arrays.copyOf(whole.ids(1), 17 - at)))
                                .key("at" + at)));
            }
            for (Recorder part : parts) {
                part.await();
                for (int c = 0; c < 2; c++) {
                    assertThat(part.ids(c)).isEqualTo(whole.ids(c));
                    int done = whole.tokens(c).size() - part.tokens(c).size();
                    same(
                            part.tokens(c),
                            whole.tokens(c).subList(done, whole.tokens(c).size()));
                }
            }
        }
    }

    @Test
    void penaltiesAvoidRepetition() throws Exception {
        MockTokens few = new MockTokens(3, 260, -1, 0);
        SamplingParams penalised = new SamplingParams(0, 0, 1, 0, 1, 2, 2, 1, Map.of(), -1);
        try (MockEngine e =
                new MockEngine(config(400), MockConfig.of(few, 4, 200).withRealSampling())) {
            int[] plain = e.run(Requests.of("a", 1, 2).maxTokens(200)).ids(0);
            int[] got = e.run(Requests.of("b", 1, 2).maxTokens(200).sampling(penalised, 0))
                    .ids(0);
            assertThat(Arrays.stream(got).distinct().count())
                    .isGreaterThan(Arrays.stream(plain).distinct().count() + 20);
        }
    }

    @Test
    void logprobsOfThePromptAreThoseOfTheTokensHadTheyBeenSampled() throws Exception {
        SamplingParams withLogprobs = new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1, Map.of(), 3);
        int[] prompt = {7, 8, 9};
        try (MockEngine e = new MockEngine(config(80).withMaxBatchedTokens(5), roomy())) {
            Recorder generated = e.run(Requests.of("a", prompt).maxTokens(30).sampling(withLogprobs, 0));
            int[] longer = Arrays.copyOf(prompt, 33);
            System.arraycopy(generated.ids(0), 0, longer, 3, 30);
            Recorder scored =
                    e.run(Requests.of("b", longer).promptLogprobs(3).n(2).maxTokens(3));
            List<SampledToken> scores = scored.promptLogprobs();
            assertThat(scores).hasSize(33);
            assertThat(scores.getFirst().logprob()).isNaN();
            same(scores.subList(3, 33), generated.tokens(0));
        }
    }

    @Test
    void logprobsOfThePromptSurvivePreemption() throws Exception {
        int[] prompt = Requests.ids(1, 60, VOCABULARY);
        List<SampledToken> undisturbed;
        try (MockEngine e = new MockEngine(config(80), roomy())) {
            undisturbed = e.run(Requests.of("a", prompt).promptLogprobs(2)).promptLogprobs();
        }
        Gate gate = new Gate();
        try (MockEngine e = new MockEngine(
                config(80).withMaxBatchedTokens(3), MockConfig.of(TOKENS, 4, 20).withRealSampling(), gate)) {
            Recorder first = e.submit(Requests.of("a", 5, 6).priority(1).maxTokens(70));
            gate.awaitEntered();
            Recorder second =
                    e.submit(Requests.of("b", prompt).promptLogprobs(2).maxTokens(3));
            gate.open();
            same(second.await().promptLogprobs(), undisturbed);
            first.await();
            assertThat(e.engine.load().preemptions()).isPositive();
        }
    }

    private static MockConfig roomy() {
        return MockConfig.of(TOKENS, 4, 400).withRealSampling();
    }

    private static List<Requests> requests() {
        Random random = new Random(8);
        List<Requests> list = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            SamplingParams p = new SamplingParams(
                    i % 4 == 0 ? 0 : 0.5f + random.nextFloat(),
                    i % 3 == 0 ? 20 : 0,
                    i % 2 == 0 ? 0.9f : 1,
                    i % 5 == 0 ? 0.05f : 0,
                    i == 7 ? 0.8f : 1,
                    random.nextFloat(),
                    random.nextFloat(),
                    1 + random.nextFloat() * 0.3f,
                    Map.of(i, 2f),
                    i % 3);
            int[] prompt = Requests.ids(i / 2, 5 + random.nextInt(25), VOCABULARY);
            list.add(Requests.of("r" + i, prompt).n(2).maxTokens(30).sampling(p, i));
        }
        return list;
    }

    private static void same(List<SampledToken> got, List<SampledToken> expected) {
        assertThat(got.stream().map(EngineSamplingTest::bits).toList())
                .isEqualTo(expected.stream().map(EngineSamplingTest::bits).toList());
    }

    private static String bits(SampledToken t) {
        return t.id() + " " + Float.floatToRawIntBits(t.logprob()) + " " + Arrays.toString(t.topIds())
                + Arrays.toString(t.topLogprobs());
    }
}
