package io.millrace.worker.text.grammar;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.machine.Grammar;
import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The official tests of JSON Schema: what compiles accepts exactly the valid instances, each in one order of its properties. */
class JsonSchemaSuiteTest {

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .build();

    private static final class Counts {
        int compiled;
        int refused;
        int instances;
        final List<String> wrong = new ArrayList<>();
    }

    @Test
    void what_compiles_accepts_exactly_the_valid_instances() throws Exception {
        Map<String, Counts> byFile = run("");
        // Formats are enforced here, which a schema's author may not expect of plain draft 2020-12.
        byFile.remove("format");
        print(byFile);
        assertThat(byFile.values().stream().flatMap(c -> c.wrong.stream())).isEmpty();
        assertThat(byFile.values().stream().mapToInt(c -> c.instances).sum()).isGreaterThan(600);
        for (String keyword : List.of(
                "const",
                "enum",
                "items",
                "maxItems",
                "minItems",
                "maxLength",
                "minLength",
                "maximum",
                "minimum",
                "exclusiveMaximum",
                "exclusiveMinimum",
                "pattern",
                "patternProperties",
                "prefixItems",
                "properties",
                "propertyNames",
                "required",
                "type",
                "boolean_schema")) {
            assertThat(Objects.requireNonNull(byFile.get(keyword)).refused)
                    .as(keyword)
                    .isZero();
        }
    }

    @Test
    void formats_that_compile_reject_every_invalid_string() throws Exception {
        Map<String, Counts> byFile = run("format/");
        print(byFile);
        assertThat(byFile.values().stream().flatMap(c -> c.wrong.stream()).filter(line -> line.contains("accepts")))
                .isEmpty();
    }

    private static Map<String, Counts> run(String folder) throws IOException, URISyntaxException {
        URL url = Objects.requireNonNull(JsonSchemaSuiteTest.class.getResource(
                "/json-schema-test-suite/" + folder + (folder.isEmpty() ? "not.json" : "date.json")));
        Map<String, Counts> counts = new TreeMap<>();
        try (Stream<Path> files =
                Files.list(Objects.requireNonNull(Path.of(url.toURI()).getParent()))) {
            for (Path file : files.filter(f -> f.toString().endsWith(".json")).toList()) {
                String keyword = file.getFileName().toString().replace(".json", "");
                Counts each = counts.computeIfAbsent(keyword, k -> new Counts());
                for (JsonNode group : MAPPER.readTree(Files.readString(file))) {
                    group(keyword, group, each);
                }
            }
        }
        return counts;
    }

    private static void group(String keyword, JsonNode group, Counts counts) {
        @Nullable Grammar grammar = null;
        try {
            grammar = Texts.schema(group.path("schema").toString());
        } catch (GrammarException e) {
            if (e.kind() != GrammarException.Kind.UNSATISFIABLE) {
                counts.refused++;
                return;
            }
        }
        counts.compiled++;
        for (JsonNode test : group.path("tests")) {
            counts.instances++;
            boolean accepts = accepts(grammar, test.path("data"));
            if (accepts != test.path("valid").booleanValue()) {
                counts.wrong.add(keyword + ": " + group.path("description").stringValue() + ": "
                        + test.path("description").stringValue() + (accepts ? " accepts " : " rejects ")
                        + test.path("data") + " for " + group.path("schema"));
            }
        }
    }

    private static boolean accepts(@Nullable Grammar grammar, JsonNode data) {
        return grammar != null && spellings(data).stream().anyMatch(text -> Texts.accepts(grammar, text));
    }

    /** The value as JSON in every order of its properties. */
    private static List<String> spellings(JsonNode value) {
        if (value.isArray()) {
            List<String> all = List.of("[");
            for (int i = 0; i < value.size(); i++) {
                all = combine(all, i == 0 ? "" : ",", spellings(value.get(i)));
            }
            return combine(all, "", List.of("]"));
        }
        if (value.isObject()) {
            List<String> all = new ArrayList<>();
            for (List<String> order : orders(new ArrayList<>(value.propertyNames()))) {
                List<String> some = List.of("{");
                for (int i = 0; i < order.size(); i++) {
                    String name = MAPPER.writeValueAsString(order.get(i)) + ":";
                    some = combine(some, (i == 0 ? "" : ",") + name, spellings(value.get(order.get(i))));
                }
                all.addAll(combine(some, "", List.of("}")));
            }
            return all;
        }
        if (value.isNumber()) {
            return List.of(value.decimalValue().stripTrailingZeros().toPlainString());
        }
        return List.of(value.toString());
    }

    private static List<String> combine(List<String> heads, String between, List<String> tails) {
        return heads.stream()
                .flatMap(head -> tails.stream().map(tail -> head + between + tail))
                .toList();
    }

    private static List<List<String>> orders(List<String> names) {
        if (names.size() <= 1 || names.size() > 5) {
            return List.of(names);
        }
        List<List<String>> all = new ArrayList<>();
        for (String first : names) {
            List<String> others = new ArrayList<>(names);
            others.remove(first);
            for (List<String> rest : orders(others)) {
                List<String> order = new ArrayList<>(List.of(first));
                order.addAll(rest);
                all.add(order);
            }
        }
        return all;
    }

    private static void print(Map<String, Counts> byFile) {
        System.out.printf("%-24s %8s %8s %10s %6s%n", "keyword", "compiled", "refused", "instances", "wrong");
        byFile.forEach((keyword, c) -> System.out.printf(
                "%-24s %8d %8d %10d %6d%n", keyword, c.compiled, c.refused, c.instances, c.wrong.size()));
        byFile.values().forEach(c -> c.wrong.forEach(System.out::println));
    }
}
