package io.millrace.worker.engine;

import static io.millrace.worker.engine.MockEngine.TOKENS;
import static io.millrace.worker.engine.MockEngine.VOCABULARY;
import static io.millrace.worker.engine.MockEngine.config;
import static io.millrace.worker.engine.MockEngine.mock;
import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.text.grammar.GrammarCompiler;
import io.millrace.worker.text.grammar.GrammarSpec;
import io.millrace.worker.text.grammar.TokenGrammar;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** A model of random tokens, bound by grammars. */
class EngineGrammarTest {

    private static final int EOS = VOCABULARY - 1;
    private static final String SCHEMA = """
            {"type":"object","properties":{
              "name":{"type":"string","minLength":1,"maxLength":6},
              "kind":{"enum":["a","b",null,12]},
              "size":{"type":"number","minimum":-3,"maximum":40,"multipleOf":0.25},
              "on":{"type":"boolean"},
              "tags":{"type":"array","items":{"type":"string","pattern":"^[a-z]{1,3}$"},"maxItems":3},
              "next":{"anyOf":[{"type":"null"},{"$ref":"#"}]}},
             "required":["name","kind","size","next"],"additionalProperties":false}""";

    private final GrammarCompiler compiler = new GrammarCompiler(new MockTokenizer(VOCABULARY), VOCABULARY);
    private final Schema validator = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12)
            .getSchema(SCHEMA, InputFormat.JSON);

    private TokenGrammar schema() {
        return compiler.compile(new GrammarSpec.JsonSchema(SCHEMA, false));
    }

    private TokenGrammar regex(String regex) {
        return compiler.compile(new GrammarSpec.Regex(regex));
    }

    private static Requests request(String key, TokenGrammar grammar, long seed) {
        return Requests.of(key, 1, 2, 3)
                .sampling(Requests.RANDOM, seed)
                .stopIds(EOS)
                .maxTokens(400)
                .grammar(grammar);
    }

    private void assertValid(String text) {
        assertThat(validator.validate(text, InputFormat.JSON)).as(text).isEmpty();
    }

    @Test
    void everyRandomOutputUnderASchemaIsValid() throws Exception {
        try (MockEngine e = new MockEngine(config(500), mock(3000))) {
            List<Recorder> all = new ArrayList<>();
            for (int i = 0; i < 150; i++) {
                all.add(e.submit(request("r" + i, schema(), i)));
            }
            int complete = 0;
            for (Recorder r : all) {
                r.await();
                if (r.ended(0).finishReason().equals("stop")) {
                    complete++;
                    assertValid(r.text(0));
                } else {
                    assertThat(r.ended(0)).isEqualTo(new Recorder.Ended(400, "length", ""));
                }
            }
            assertThat(complete).isGreaterThan(100);
        }
    }

    @Test
    void theRealSamplerIsBoundJustSo() throws Exception {
        SamplingParams params =
                new SamplingParams(0.9f, 40, 0.95f, 0.01f, 1, 0.5f, 0.5f, 1.1f, Map.of((int) 'x', 5f), 2);
        try (MockEngine e = new MockEngine(config(500), mock(3000).withRealSampling())) {
            for (int i = 0; i < 20; i++) {
                Recorder r = e.run(request("r" + i, schema(), i).sampling(params, i));
                if (r.ended(0).finishReason().equals("stop")) {
                    assertValid(r.text(0));
                }
            }
        }
    }

    @Test
    void choicesFollowTheGrammarEachByItself() throws Exception {
        try (MockEngine e = new MockEngine(config(500), mock(3000))) {
            Recorder r = e.run(request("n", schema(), 5).n(8));
            for (int c = 0; c < 8; c++) {
                if (r.ended(c).finishReason().equals("stop")) {
                    assertValid(r.text(c));
                }
            }
            assertThat(r.text(0)).isNotEqualTo(r.text(1));
        }
    }

    @Test
    void aChoiceGoesOnFromAcceptedIdsAsIfNothingHadHappened() throws Exception {
        try (MockEngine e = new MockEngine(config(500), mock(3000))) {
            Recorder whole = e.run(request("whole", schema(), 9));
            int[] ids = whole.ids(0);
            for (int k = 0; k < ids.length; k += 5) {
                Recorder resumed = e.run(request("resumed" + k, schema(), 9).accepted(List.of(Arrays.copyOf(ids, k))));
                assertThat(resumed.ids(0)).isEqualTo(ids);
                assertThat(resumed.ended(0)).isEqualTo(whole.ended(0));
            }
        }
    }

    @Test
    void preemptionChangesNothing() throws Exception {
        List<String> calm = new ArrayList<>();
        try (MockEngine e = new MockEngine(config(460), mock(3000))) {
            for (int i = 0; i < 12; i++) {
                calm.add(e.run(request("r" + i, schema(), i)).text(0));
            }
        }
        try (MockEngine e = new MockEngine(config(460), mock(125))) {
            List<Recorder> all = new ArrayList<>();
            for (int i = 0; i < 12; i++) {
                all.add(e.submit(request("r" + i, schema(), i)));
            }
            assertThat(all.stream().map(r -> r.await().text(0))).isEqualTo(calm);
            assertThat(e.engine.load().preemptions()).isPositive();
        }
    }

    @Test
    void anOutputThatIsCompleteEndsAtOnceWhateverMinTokensAndEosSay() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            Recorder r = e.run(
                    request("a", regex("abc"), 1).minTokens(10).maxTokens(20).stopIds());
            assertThat(r.text(0)).isEqualTo("abc");
            assertThat(r.ended(0)).isEqualTo(new Recorder.Ended(3, "stop", ""));
        }
    }

    @Test
    void eosComesOnlyWhereTheOutputIsComplete() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            for (int seed = 0; seed < 20; seed++) {
                Recorder r = e.run(request("a" + seed, regex("(ab)*c?"), seed).maxTokens(50));
                assertThat(r.text(0)).matches("(ab)*c?");
                Recorder late = e.run(
                        request("b" + seed, regex("(ab)*"), seed).minTokens(7).maxTokens(50));
                assertThat(late.text(0)).matches("(ab){4,}");
            }
            Recorder never = e.run(request("c", regex("(ab)*"), 1).stopIds().maxTokens(21));
            assertThat(never.ended(0).finishReason()).isEqualTo("length");
            assertThat(never.text(0)).isEqualTo("ab".repeat(10) + "a");
        }
    }

    @Test
    void anAmbiguousGrammarIsLeftBeforeItExplodes() throws Exception {
        TokenGrammar grammar = compiler.compile(
                new GrammarSpec.Ebnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"a\" root \"d\" | \"x\""));
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            for (int seed = 0; seed < 20; seed++) {
                Recorder r = e.run(request("a" + seed, grammar, seed).maxTokens(50));
                assertThat(r.text(0)).matches("a{0,8}x[bcd]{0,8}");
                assertThat(r.ended(0).finishReason()).isEqualTo("stop");
            }
        }
    }

    @Test
    void aStopStringEndsTheOutputAsEver() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            Recorder r = e.run(request("a", regex("abcde"), 1).stops("cd"));
            assertThat(r.text(0)).isEqualTo("ab");
            assertThat(r.ended(0).stopReason()).isEqualTo("cd");
        }
    }

    @Test
    void whatLeavesNothingToChooseFailsAlone() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            Recorder free = e.submit(Requests.of("free", 4, 5).maxTokens(10));
            Recorder r = e.run(request("a", regex("ab"), 1).badWords(new int[] {'b'}, new int[] {'a', 'b'}));
            assertThat(r.failure()).startsWith("MR-SAMPLING-002");
            assertThat(free.await().ids(0)).isEqualTo(TOKENS.greedy(new int[] {4, 5}, 10));
        }
    }

    @Test
    void idsThatAnotherGrammarAcceptedAreRefused() throws Exception {
        try (MockEngine e = new MockEngine(config(100), mock(64))) {
            Recorder r = e.run(request("a", regex("ab*"), 1).accepted(List.of(new int[] {'a', 'c'})));
            assertThat(r.failure()).contains("MR-GRAMMAR-002");
        }
    }

    @Test
    void logProbabilitiesAreOfTheRawDistribution() throws Exception {
        SamplingParams params = new SamplingParams(1, 0, 1, 0, 1, 0, 0, 1, Map.of(), 3);
        try (MockEngine e = new MockEngine(config(100), mock(64).withRealSampling())) {
            Recorder free =
                    e.run(Requests.of("free", 1, 2, 3).sampling(params, 1).maxTokens(1));
            Recorder bound = e.run(request("bound", regex("[ab]"), 1).sampling(params, 1));
            assertThat(bound.tokens(0).getFirst().topIds())
                    .isEqualTo(free.tokens(0).getFirst().topIds());
            assertThat(bound.tokens(0).getFirst().topLogprobs())
                    .isEqualTo(free.tokens(0).getFirst().topLogprobs());
            assertThat(bound.text(0)).matches("[ab]");
        }
    }
}
