package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;

import com.networknt.schema.InputFormat;
import com.networknt.schema.Schema;
import com.networknt.schema.SchemaRegistry;
import com.networknt.schema.SpecificationVersion;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.machine.Grammar;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/** Random schemas, random texts of their grammars: a validator of another make must find every one valid. */
class RandomSchemaTest {

    private static final int SCHEMAS = Integer.getInteger("grammar.schemas", 250);
    private static final List<String> PATTERNS =
            List.of("^[a-z]{2,5}$", "[0-9]", "^(ab|cd)*$", "\\\\w+-\\\\d", "^.é", "x$");

    private final SchemaRegistry validators = SchemaRegistry.withDefaultDialect(SpecificationVersion.DRAFT_2020_12);

    @Test
    void every_text_of_a_schemas_grammar_is_valid() {
        int texts = 0;
        int compiled = 0;
        for (int seed = 0; seed < SCHEMAS; seed++) {
            Random random = new Random(seed);
            String schema = "{\"$defs\":{\"node\":{\"type\":\"object\",\"properties\":{\"v\":" + schema(random, 1)
                    + ",\"next\":{\"$ref\":\"#/$defs/node\"}},\"required\":[\"v\"],\"additionalProperties\":false}},\"allOf\":["
                    + schema(random, 3) + "]}";
            Grammar grammar;
            try {
                grammar = Texts.schema(schema);
            } catch (GrammarException e) {
                assertThat(e.kind())
                        .as(schema + e.text())
                        .isIn(GrammarException.Kind.UNSUPPORTED, GrammarException.Kind.UNSATISFIABLE);
                continue;
            }
            compiled++;
            Schema validator = validators.getSchema(schema, InputFormat.JSON);
            for (int i = 0; i < 12; i++) {
                String text = Texts.walk(grammar, random, 80, 4000);
                if (text != null) {
                    texts++;
                    assertThat(validator.validate(text, InputFormat.JSON))
                            .as(text + " for " + schema)
                            .isEmpty();
                }
            }
        }
        assertThat(compiled).isGreaterThan(SCHEMAS / 2);
        assertThat(texts).isGreaterThan(SCHEMAS * 4);
    }

    private static String schema(Random random, int depth) {
        return switch (random.nextInt(depth == 0 ? 6 : 14)) {
            case 0 -> "{\"type\":\"boolean\"}";
            case 1 -> "{\"enum\":[null,\"a\\\"b\",3,{\"k\":[1.5]}]}";
            case 2 -> "{\"type\":\"integer\"" + bounds(random) + "}";
            case 3 -> "{\"type\":[\"number\",\"null\"]" + bounds(random) + "}";
            case 4, 5 -> string(random);
            case 6 -> "{\"type\":\"array\",\"items\":" + schema(random, depth - 1) + counts(random, "Items") + "}";
            case 7 ->
                "{\"prefixItems\":[" + schema(random, depth - 1) + "," + schema(random, depth - 1)
                        + "],\"type\":\"array\",\"items\":" + (random.nextBoolean() ? "false" : schema(random, 0))
                        + counts(random, "Items") + "}";
            case 8 -> "{\"anyOf\":[" + schema(random, depth - 1) + "," + schema(random, depth - 1) + "]}";
            case 9 -> "{\"oneOf\":[{\"type\":\"string\",\"maxLength\":2}," + schema(random, depth - 1) + "]}";
            case 10 -> "{\"$ref\":\"#/$defs/node\"}";
            case 11 -> "{\"allOf\":[" + object(random, depth - 1) + "," + object(random, depth - 1) + "]}";
            default -> object(random, depth - 1);
        };
    }

    private static String string(Random random) {
        String pattern =
                random.nextBoolean() ? ",\"pattern\":\"" + PATTERNS.get(random.nextInt(PATTERNS.size())) + "\"" : "";
        return "{\"type\":\"string\"" + pattern + counts(random, "Length") + "}";
    }

    private static String counts(Random random, String what) {
        int min = random.nextInt(3);
        return (random.nextBoolean() ? ",\"min" + what + "\":" + min : "")
                + (random.nextBoolean() ? ",\"max" + what + "\":" + (min + random.nextInt(5)) : "");
    }

    private static String bounds(Random random) {
        StringBuilder out = new StringBuilder();
        double low = random.nextInt(-2000, 2000) / (random.nextBoolean() ? 1.0 : 8.0);
        if (random.nextBoolean()) {
            out.append(random.nextBoolean() ? ",\"minimum\":" : ",\"exclusiveMinimum\":")
                    .append(low);
        }
        if (random.nextBoolean()) {
            out.append(random.nextBoolean() ? ",\"maximum\":" : ",\"exclusiveMaximum\":")
                    .append(low + random.nextInt(3000) / 16.0);
        }
        if (random.nextInt(3) == 0) {
            out.append(",\"multipleOf\":")
                    .append(List.of("3", "0.5", "12", "0.02").get(random.nextInt(4)));
        }
        return out.toString();
    }

    private static String object(Random random, int depth) {
        List<String> names = new ArrayList<>(List.of("a", "b", "c\\\"d", "é"));
        String properties = names.stream()
                .filter(name -> random.nextBoolean())
                .map(name -> "\"" + name + "\":" + schema(random, Math.max(0, depth)))
                .collect(Collectors.joining(","));
        String required = IntStream.range(0, names.size())
                .filter(i -> random.nextInt(4) == 0)
                .mapToObj(i -> "\"" + names.get(i) + "\"")
                .collect(Collectors.joining(","));
        String extra = switch (random.nextInt(5)) {
            case 0 -> ",\"additionalProperties\":false";
            case 1 -> ",\"additionalProperties\":" + schema(random, 0);
            case 2 -> ",\"patternProperties\":{\"^x\":" + schema(random, 0) + "},\"additionalProperties\":false";
            case 3 -> ",\"propertyNames\":{\"maxLength\":4},\"maxProperties\":3";
            default -> ",\"minProperties\":1";
        };
        return "{\"type\":\"object\",\"properties\":{" + properties + "},\"required\":[" + required + "]" + extra + "}";
    }
}
