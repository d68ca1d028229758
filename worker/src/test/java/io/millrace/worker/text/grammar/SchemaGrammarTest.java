package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.GrammarException.Kind;
import io.millrace.worker.text.grammar.machine.Grammar;
import java.util.List;
import org.junit.jupiter.api.Test;

class SchemaGrammarTest {

    private static GrammarException refused(String schema) {
        return catchThrowableOfType(GrammarException.class, () -> Texts.schema(schema));
    }

    private static void assertRefused(String schema, Kind kind, String place) {
        GrammarException e = refused(schema);
        assertThat(e).as(schema).isNotNull();
        assertThat(e.kind()).as(e.text()).isEqualTo(kind);
        assertThat(e.place()).as(e.text()).isEqualTo(place);
    }

    @Test
    void properties_come_in_the_schemas_order() {
        Grammar g = Texts.schema(
                "{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"integer\"},\"a\":{\"type\":\"integer\"}},"
                        + "\"required\":[\"a\"],\"additionalProperties\":false}");
        assertThat(Texts.accepts(g, "{\"z\":1,\"a\":2}")).isTrue();
        assertThat(Texts.accepts(g, "{\"a\":2}")).isTrue();
        assertThat(Texts.accepts(g, "{\"a\":2,\"z\":1}")).isFalse();
        assertThat(Texts.accepts(g, "{\"z\":1}")).isFalse();
    }

    @Test
    void white_space_is_limited_or_none() {
        String schema =
                "{\"type\":\"array\",\"items\":{\"type\":\"object\",\"additionalProperties\":{\"type\":\"null\"}}}";
        Grammar usual = Texts.schema(schema);
        Grammar compact = GrammarCompiler.grammar(new GrammarSpec.JsonSchema(schema, true));
        String pretty = "[\n  {\n    \"a\": null,\n    \"b\": null\n  },\n  {}\n]";
        assertThat(Texts.accepts(usual, pretty)).isTrue();
        assertThat(Texts.accepts(usual, "[ { \"a\": null } ]")).isTrue();
        assertThat(Texts.accepts(compact, "[{\"a\":null},{}]")).isTrue();
        assertThat(Texts.accepts(compact, "[{\"a\": null}]")).isFalse();
        for (String text : List.of(" []", "[] ", "[\n\n]", "[{\"a\" :null}]", "[{\"a\":  null}]", "[{}\n\n,{}]")) {
            assertThat(Texts.accepts(usual, text)).as(text).isFalse();
        }
    }

    @Test
    void any_object_means_an_object_with_anything_in_it() {
        GrammarSpec any = new GrammarSpec.JsonObject(false);
        assertThat(Texts.accepts(any, "{\"a\": [1, -2.5e3, true, null, \"\\ud83d\\ude00\\n😀\", {\"b\": {}}]}"))
                .isTrue();
        for (String text :
                List.of("[]", "1", "{\"a\":01}", "{\"a\":\"\\ud83d\"}", "{\"a\":\"\n\"}", "{a:1}", "{\"a\":1,}")) {
            assertThat(Texts.accepts(any, text)).as(text).isFalse();
        }
    }

    @Test
    void a_recursive_schema_is_followed() {
        Grammar g = Texts.schema(
                "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
                        + "\"c\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}},\"required\":[\"v\",\"c\"],\"additionalProperties\":false}}}");
        assertThat(Texts.accepts(g, "{\"v\":1,\"c\":[{\"v\":2,\"c\":[]},{\"v\":3,\"c\":[{\"v\":4,\"c\":[]}]}]}"))
                .isTrue();
        assertThat(Texts.accepts(g, "{\"v\":1,\"c\":[{\"v\":2}]}")).isFalse();
    }

    @Test
    void a_discriminated_one_of_is_supported() {
        Grammar g = Texts.schema(
                "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},\"x\":{\"type\":\"integer\"}},\"required\":[\"k\",\"x\"]},"
                        + "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"b\"},\"y\":{\"type\":\"string\"}},\"required\":[\"k\",\"y\"]},"
                        + "{\"type\":\"integer\",\"maximum\":3},{\"type\":\"integer\",\"minimum\":4},{\"type\":\"string\",\"pattern\":\"^a\"}]}");
        assertThat(Texts.accepts(g, "{\"k\":\"a\",\"x\":1}")).isTrue();
        assertThat(Texts.accepts(g, "{\"k\":\"b\",\"x\":1}")).isFalse();
        assertThat(Texts.accepts(g, "4")).isTrue();
        assertRefused("{\"oneOf\":[{\"minimum\":3},{\"maximum\":4}]}", Kind.UNSUPPORTED, "/oneOf");
    }

    @Test
    void numbers_keep_their_bounds_exactly() {
        Grammar g = Texts.schema("{\"type\":\"number\",\"minimum\":-12.5,\"exclusiveMaximum\":1000.05}");
        for (String in : List.of("-12.5", "-12.50", "-0", "0", "0.001", "999", "1000", "1000.049999", "-1.75")) {
            assertThat(Texts.accepts(g, in)).as(in).isTrue();
        }
        for (String out : List.of("-12.51", "-13", "1000.05", "1000.050", "1001", "1000.1", "1e2", "00", "1.", "-")) {
            assertThat(Texts.accepts(g, out)).as(out).isFalse();
        }
        Grammar tens = Texts.schema("{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":10,\"maximum\":700}");
        for (int i = 0; i < 1000; i++) {
            assertThat(Texts.accepts(tens, Integer.toString(i))).isEqualTo(i >= 10 && i <= 700 && i % 7 == 0);
        }
    }

    @Test
    void what_cannot_be_honoured_names_its_keyword() {
        assertRefused(
                "{\"properties\":{\"a~/b\":{\"type\":\"array\",\"uniqueItems\":true}}}",
                Kind.UNSUPPORTED,
                "/properties/a~0~1b/uniqueItems");
        assertRefused("{\"type\":\"array\",\"contains\":{}}", Kind.UNSUPPORTED, "/contains");
        assertRefused("{\"if\":{},\"then\":{}}", Kind.UNSUPPORTED, "/if");
        assertRefused("{\"not\":{\"minimum\":3}}", Kind.UNSUPPORTED, "/not");
        assertRefused("{\"type\":\"string\",\"format\":\"regex\"}", Kind.UNSUPPORTED, "/format");
        assertRefused("{\"dependentRequired\":{\"a\":[\"b\"]}}", Kind.UNSUPPORTED, "/dependentRequired");
        assertRefused("{\"$ref\":\"https://example.com/x\"}", Kind.UNSUPPORTED, "/$ref");
        assertRefused("{\"items\":{\"type\":\"string\",\"pattern\":\"(?=a)\"}}", Kind.UNSUPPORTED, "/items/pattern");
        assertThat(Texts.accepts(
                        Texts.schema("{\"type\":\"string\",\"uniqueItems\":true,\"title\":\"x\",\"x-own\":1}"),
                        "\"a\""))
                .isTrue();
    }

    @Test
    void what_is_malformed_names_its_keyword() {
        assertRefused("{\"type\":\"strin\"}", Kind.INVALID, "/type");
        assertRefused("{\"properties\":[]}", Kind.INVALID, "/properties");
        assertRefused("{\"properties\":{\"a\":5}}", Kind.INVALID, "/properties/a");
        assertRefused("{\"minLength\":\"1\"}", Kind.INVALID, "/minLength");
        assertRefused("{\"minLength\":-1}", Kind.INVALID, "/minLength");
        assertRefused("{\"type\":\"number\",\"multipleOf\":0}", Kind.INVALID, "/multipleOf");
        assertRefused("{\"required\":\"a\"}", Kind.INVALID, "/required");
        assertRefused("{\"$ref\":\"#/$defs/nope\"}", Kind.INVALID, "/$ref");
        assertRefused("{\"enum\":5}", Kind.INVALID, "/enum");
        assertRefused("{\"pattern\":\"(\"}", Kind.INVALID, "/pattern");
        assertRefused("{", Kind.INVALID, "");
        assertRefused("[]", Kind.INVALID, "");
    }

    @Test
    void what_nothing_satisfies_is_refused() {
        for (String schema : List.of(
                "false",
                "{\"enum\":[]}",
                "{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}",
                "{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}",
                "{\"type\":\"string\",\"pattern\":\"^a$\",\"minLength\":2}",
                "{\"type\":\"object\",\"required\":[\"a\"],\"additionalProperties\":false}",
                "{\"const\":1,\"type\":\"string\"}",
                "{\"allOf\":[{\"type\":\"string\"},{\"type\":\"null\"}]}",
                "{\"type\":\"array\",\"minItems\":2,\"prefixItems\":[{}],\"items\":false}",
                "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}")) {
            assertThat(refused(schema).kind()).as(schema).isEqualTo(Kind.UNSATISFIABLE);
        }
    }

    @Test
    void what_is_huge_is_refused_within_bounds() {
        assertRefused("{\"type\":\"string\",\"maxLength\":1000000}", Kind.TOO_LARGE, "/maxLength");
        assertRefused("{\"type\":\"array\",\"minItems\":1000000}", Kind.TOO_LARGE, "/minItems");
        assertRefused("{\"type\":\"integer\",\"multipleOf\":1000003}", Kind.TOO_LARGE, "");
        assertRefused("{\"type\":\"number\",\"minimum\":1e9999}", Kind.TOO_LARGE, "/minimum");
        StringBuilder ways = new StringBuilder("{\"allOf\":[");
        for (int i = 0; i < 12; i++) {
            ways.append(i == 0 ? "" : ",")
                    .append("{\"anyOf\":[{\"minimum\":")
                    .append(i)
                    .append("},{\"maxLength\":")
                    .append(i)
                    .append("}]}");
        }
        assertThat(refused(ways + "]}").kind()).isEqualTo(Kind.TOO_LARGE);
        StringBuilder wide = new StringBuilder("{\"type\":\"object\",\"properties\":{");
        for (int i = 0; i < 3000; i++) {
            wide.append(i == 0 ? "" : ",").append("\"p").append(i).append("\":{}");
        }
        assertThat(refused(wide + "}}")).isNotNull();
        assertThat(refused("{\"x\":\"" + "y".repeat(1 << 20) + "\"}").kind()).isEqualTo(Kind.TOO_LARGE);
        assertThat(refused("[".repeat(100_000)).kind()).isEqualTo(Kind.INVALID);
    }

    @Test
    void long_lists_of_values_are_taken() {
        StringBuilder values = new StringBuilder("{\"enum\":[0");
        for (int i = 1; i < 30_000; i++) {
            values.append(",").append(i);
        }
        Grammar g = Texts.schema(values + ",7,7.0]}");
        assertThat(Texts.accepts(g, "29999")).isTrue();
        assertThat(Texts.accepts(g, "30000")).isFalse();
    }

    @Test
    void references_that_go_round_are_refused() {
        assertRefused("{\"$ref\":\"#\"}", Kind.UNSUPPORTED, "/$ref");
        assertThat(refused("{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}").kind())
                .isEqualTo(Kind.UNSUPPORTED);
        assertThat(refused(
                                "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"allOf\":[{\"$ref\":\"#/$defs/a\"}]}}}")
                        .kind())
                .isEqualTo(Kind.UNSUPPORTED);
    }

    @Test
    void the_same_schema_twice_in_one_place_is_no_circle() {
        Grammar g = Texts.schema(
                "{\"allOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/a\"}],\"$defs\":{\"a\":{\"anyOf\":[{\"type\":\"null\"},{\"type\":\"boolean\"}]}}}");
        assertThat(Texts.accepts(g, "true")).isTrue();
        assertThat(Texts.accepts(g, "1")).isFalse();
    }
}
