package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.GrammarSpec.Function;
import io.millrace.worker.text.grammar.GrammarSpec.ToolCalls;
import io.millrace.worker.text.grammar.machine.Grammar;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ToolGrammarTest {

    private static final Function SQUARE = new Function(
            "square",
            "{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"}},\"required\":[\"x\"],\"additionalProperties\":false}",
            true);
    private static final Function NOW =
            new Function("now", "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}", false);

    private static ToolCalls calls(ToolFormat format, boolean required, boolean single) {
        return new ToolCalls(format, List.of(SQUARE, NOW), required, single, null);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "GENERIC         | {'name': 'square', 'arguments': {'x': 7}}~{'name': 'now', 'arguments': {}}",
                "HERMES          | <tool_call>~{'name': 'square', 'arguments': {'x': 7}}~</tool_call>~<tool_call>~{'name': 'now', 'arguments': {}}~</tool_call>",
                "LLAMA3_JSON     | {'name': 'square', 'parameters': {'x': 7}}; {'name': 'now', 'parameters': {}}",
                "LLAMA3_PYTHONIC | {'name': 'square', 'parameters': {'x': 7}}; {'name': 'now', 'parameters': {}}",
                "MISTRAL         | [TOOL_CALLS][{'name': 'square', 'arguments': {'x': 7}}, {'name': 'now', 'arguments': {}}]",
                "MISTRAL_ARGS    | [TOOL_CALLS]square[ARGS]{'x': 7}[TOOL_CALLS]now[ARGS]{}",
            })
    void callsHaveTheFormatOfTheModel(ToolFormat format, String shown) {
        String text = shown.replace('\'', '"').replace('~', '\n');
        Grammar required = GrammarCompiler.grammar(calls(format, true, false));
        Grammar optional = GrammarCompiler.grammar(calls(format, false, false));
        Grammar single = GrammarCompiler.grammar(calls(format, true, true));
        assertThat(Texts.accepts(required, text)).isTrue();
        assertThat(Texts.accepts(optional, text)).isTrue();
        assertThat(Texts.accepts(single, text)).isFalse();
        for (Grammar grammar : List.of(required, optional, single)) {
            assertThat(Texts.accepts(grammar, text.replace("7", "null"))).isFalse();
            assertThat(Texts.accepts(grammar, text.replace("square", "cube"))).isFalse();
        }
        for (String content : List.of("", "Hello <there>, [you].", "7\n")) {
            assertThat(Texts.accepts(required, content)).isFalse();
            assertThat(Texts.accepts(optional, content)).as(content).isTrue();
        }
    }

    @ParameterizedTest
    @EnumSource
    void noOutputEndsInADeadEnd(ToolFormat format) {
        for (boolean required : new boolean[] {true, false}) {
            Grammar grammar = GrammarCompiler.grammar(calls(format, required, false));
            for (int seed = 0; seed < 20; seed++) {
                String text = Texts.walk(grammar, new Random(seed), 200, 600);
                assertThat(text == null || !required || text.contains("square") || text.contains("now"))
                        .isTrue();
            }
        }
    }

    @Test
    void anOutputMayBeBoundWhereNothingIsCalled() {
        GrammarSpec spec = new ToolCalls(
                ToolFormat.HERMES, List.of(NOW), false, false, new GrammarSpec.Choice(List.of("yes", "no")));
        assertThat(Texts.accepts(spec, "yes")).isTrue();
        assertThat(Texts.accepts(spec, "maybe")).isFalse();
        assertThat(Texts.accepts(spec, "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"))
                .isTrue();
    }

    @Test
    void reasoningComesFirst() {
        GrammarSpec yes = new GrammarSpec.Choice(List.of("yes"));
        GrammarSpec maybe = new GrammarSpec.AfterReasoning(ReasoningFormat.THINK, false, yes);
        GrammarSpec begun = new GrammarSpec.AfterReasoning(ReasoningFormat.THINK, true, yes);
        assertThat(Texts.accepts(maybe, "yes")).isTrue();
        assertThat(Texts.accepts(maybe, "<think>a < b </thin\n</think>\n\nyes")).isTrue();
        assertThat(Texts.accepts(maybe, "<think></think>yes")).isTrue();
        assertThat(Texts.accepts(maybe, "<think>a</think>no")).isFalse();
        assertThat(Texts.accepts(begun, "a</think>\nyes")).isTrue();
        assertThat(Texts.accepts(begun, "yes")).isFalse();
        assertThat(Texts.accepts(begun, "a</think>b</think>yes")).isFalse();
    }

    @Test
    void aSchemaThatCannotBeHonouredIsAnErrorOnlyWhereItIsStrict() {
        String schema = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"format\":\"idn-email\"}}}";
        GrammarSpec loose =
                new ToolCalls(ToolFormat.GENERIC, List.of(new Function("f", schema, false)), true, true, null);
        assertThat(Texts.accepts(loose, "{\"name\": \"f\", \"arguments\": {\"b\": 1}}"))
                .isTrue();
        GrammarSpec strict =
                new ToolCalls(ToolFormat.GENERIC, List.of(NOW, new Function("f", schema, true)), true, true, null);
        FunctionException e = catchThrowableOfType(FunctionException.class, () -> GrammarCompiler.grammar(strict));
        assertThat(e.function()).isEqualTo("f");
        assertThat(e.schema().place()).isEqualTo("/properties/a/format");
    }

    /** A vocabulary whose last token is a marker. */
    private record Marked(Tokenizer inner, String marker) implements Tokenizer {

        @Override
        public int[] encode(String text, boolean addSpecial, boolean parseSpecial) {
            return inner.encode(text, addSpecial, parseSpecial);
        }

        @Override
        public byte[] bytes(int id) {
            return id == inner.vocabularySize() ? marker.getBytes(StandardCharsets.UTF_8) : inner.bytes(id);
        }

        @Override
        public boolean isControl(int id) {
            return id == inner.vocabularySize() || inner.isControl(id);
        }

        @Override
        public boolean dropsFirstSpace() {
            return false;
        }

        @Override
        public int vocabularySize() {
            return inner.vocabularySize() + 1;
        }

        @Override
        public int id(String token) {
            return token.equals(marker) ? inner.vocabularySize() : inner.id(token);
        }

        @Override
        public int bosId() {
            return -1;
        }

        @Override
        public int[] eosIds() {
            return inner.eosIds();
        }

        @Override
        public long hash() {
            return 1;
        }
    }

    private static boolean allows(GrammarCursor cursor, int id) {
        return (cursor.mask(new int[0]).words()[id >> 5] >>> id & 1) == 1;
    }

    @Test
    void aMarkerThatIsAControlTokenIsThatTokenAndNothingElse() {
        Tokenizer tokenizer = new Marked(new MockTokenizer(1000), "[TOOL_CALLS]");
        int marker = tokenizer.id("[TOOL_CALLS]");
        GrammarCompiler compiler = new GrammarCompiler(tokenizer, tokenizer.vocabularySize());
        GrammarCursor cursor =
                compiler.compile(calls(ToolFormat.MISTRAL, true, true)).begin();
        int[] first = cursor.mask(new int[0]).words();
        for (int id = 0; id < tokenizer.vocabularySize(); id++) {
            assertThat((first[id >> 5] >>> id & 1) == 1).isEqualTo(id == marker);
        }
        assertThat(cursor.accept(marker)).isTrue();
        for (int id : tokenizer.encode("[{\"name\": \"", false, false)) {
            assertThat(cursor.accept(id)).isTrue();
        }
        GrammarCursor json = compiler.compile(new GrammarSpec.JsonObject(false)).begin();
        for (int id : tokenizer.encode("{\"a\": \"", false, false)) {
            assertThat(json.accept(id)).isTrue();
        }
        assertThat(allows(json, marker)).isFalse();
    }
}
