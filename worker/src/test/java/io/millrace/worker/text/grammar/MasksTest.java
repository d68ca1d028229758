package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.Golden;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import io.millrace.worker.text.grammar.machine.Grammar;
import io.millrace.worker.text.grammar.machine.Masks;
import io.millrace.worker.text.grammar.machine.State;
import io.millrace.worker.text.grammar.machine.Vocabulary;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Masks against the plain definition: a token is allowed if its bytes can be followed. */
class MasksTest {

    private static final List<GrammarSpec> SPECS = List.of(
            new GrammarSpec.JsonObject(false),
            new GrammarSpec.JsonSchema(
                    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},\"age\":{\"type\":\"integer\",\"minimum\":0},"
                            + "\"tags\":{\"type\":\"array\",\"items\":{\"enum\":[\"red\",\"green\",\"blue\"]}}},\"required\":[\"name\",\"age\"]}",
                    false),
            new GrammarSpec.Regex("(\\w+ ){1,4}[^a]*[.!]"),
            new GrammarSpec.Choice(List.of("yes", "no", "yesterday", " maybe")),
            new GrammarSpec.Ebnf("root ::= [a-z ]+ | \"(\" root \")\" root | \"{\" root* \"}\""));

    static Stream<Tokenizer> tokenizers() {
        return Stream.of(new MockTokenizer(1000), golden("smollm2"), golden("trained-spm-llama"));
    }

    private static Tokenizer golden(String name) {
        try (GgufFile file = GgufFile.open(Golden.path("tokenizers/" + name + "/vocab.gguf"))) {
            return GgufTokenizers.create(name, file.metadata());
        }
    }

    @ParameterizedTest
    @MethodSource("tokenizers")
    void a_mask_has_exactly_the_tokens_that_can_be_followed(Tokenizer tokenizer) {
        int size = tokenizer.vocabularySize() + 7;
        Masks masks = new Masks(Vocabulary.of(tokenizer, size));
        Random random = new Random(11);
        for (GrammarSpec spec : SPECS) {
            State state = GrammarCompiler.grammar(spec).start();
            for (int i = 0; i < 25; i++) {
                int[] allowed = check(masks, tokenizer, state, size);
                if (allowed.length == 0) {
                    assertThat(state.accepting()).isTrue();
                    break;
                }
                int id = allowed[random.nextInt(allowed.length)];
                state = Objects.requireNonNull(Grammar.advance(state, tokenizer.bytes(id)));
            }
        }
    }

    private static int[] check(Masks masks, Tokenizer tokenizer, State state, int size) {
        int[] words = masks.of(state);
        int[] allowed = IntStream.range(0, size)
                .filter(id -> (words[id >> 5] >>> id & 1) == 1)
                .toArray();
        int[] expected = IntStream.range(0, tokenizer.vocabularySize())
                .filter(id -> tokenizer.bytes(id).length > 0 && !tokenizer.isControl(id))
                .filter(id -> IntStream.of(tokenizer.eosIds()).noneMatch(eos -> eos == id))
                .filter(id -> Grammar.advance(state, tokenizer.bytes(id)) != null)
                .toArray();
        assertThat(allowed).isEqualTo(expected);
        assertThat(masks.known(state)).isSameAs(words);
        return allowed;
    }
}
