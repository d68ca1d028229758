package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import io.millrace.gateway.stream.ApiException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.SortedSet;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.JsonNodeFactory;
import tools.jackson.databind.node.ObjectNode;

/** All parameters of the generating endpoints: docs/parameters.md lists them, and none takes a wrong value. */
class ParametersTest {

    private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
    private static final Pattern ROW =
            Pattern.compile("(?m)^\\| `([a-z_.]+)` \\| (\\S+) \\| (\\S+) \\| (\\S+) \\| (.*) \\|$");
    private static final Pattern TEST = Pattern.compile("`([A-Z][A-Za-z0-9]*Test)\\.([A-Za-z0-9_]+)`");
    private static final Json JSON = new Json();

    /** An endpoint's reader and the least that it takes. */
    private enum Endpoint {
        CHAT("\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]", new ChatRequests(JSON, 100)::read),
        COMPLETIONS("\"prompt\":\"Hi\"", new CompletionRequests(JSON, 100)::read),
        RESPONSES("\"input\":\"Hi\"", ParametersTest::response);

        private final String least;
        private final Function<Json.Body, Draft> reader;

        Endpoint(String least, Function<Json.Body, Draft> reader) {
            this.least = least;
            this.reader = reader;
        }

        Draft read(String fields) {
            return reader.apply(
                    JSON.object("{\"model\":\"m\"," + least + (fields.isEmpty() ? "" : ",") + fields + "}"));
        }

        /** Names of the fields that it asks for. */
        SortedSet<String> fields() {
            SortedSet<String> names = new TreeSet<>();
            String text = "{\"model\":\"m\"," + least + ",\"stream\":true,\"stream_options\":{}}";
            assertThat(reader.apply(new Json.Body(text, new Recording(JSON.tree(text), "", names))).stream())
                    .isTrue();
            return names;
        }
    }

    private static Draft response(Json.Body body) {
        assertThat(ResponseRequests.previous(body)).isNull();
        return new ResponseRequests(JSON, 1 << 20, 100).read(body, false, Conversation.NONE);
    }

    /** An object that notes which of its fields are asked for, and of those within {@code stream_options}. */
    private static final class Recording extends ObjectNode {

        private static final long serialVersionUID = 1L;

        private final String path;
        private final transient SortedSet<String> names;

        Recording(JsonNode object, String path, SortedSet<String> names) {
            super(JsonNodeFactory.instance);
            this.path = path;
            this.names = names;
            object.properties().forEach(each -> set(each.getKey(), each.getValue()));
        }

        @Override
        public @Nullable JsonNode get(String name) {
            names.add(path + name);
            JsonNode value = super.get(name);
            return name.equals("stream_options") && value != null ? new Recording(value, name + ".", names) : value;
        }
    }

    /** Values that a field refuses, each named by it, on some endpoints. */
    private record Wrong(String name, String endpoints, List<String> values) {}

    private static Wrong wrong(String name, String endpoints, String... values) {
        return new Wrong(name, endpoints, List.of(values));
    }

    private static Wrong number(String name, double below, double above) {
        return wrong(name, "ctr", "\"1\"", "true", "[]", "{}", "1e999", String.valueOf(below), String.valueOf(above));
    }

    private static Wrong integer(String name, String endpoints, long below, long above) {
        return wrong(
                name,
                endpoints,
                "\"1\"",
                "true",
                "[1]",
                "{}",
                "1.5",
                "1e40",
                Long.toString(below),
                Long.toString(above));
    }

    private static Wrong bool(String name, String endpoints) {
        return wrong(name, endpoints, "1", "\"true\"", "[]", "{}");
    }

    private static Wrong string(String name, String endpoints, String... more) {
        return new Wrong(
                name,
                endpoints,
                Stream.concat(Stream.of("1", "true", "[]", "{}"), Arrays.stream(more))
                        .toList());
    }

    private static Wrong ids(String name, int countMax) {
        String many =
                IntStream.rangeClosed(0, countMax).mapToObj(String::valueOf).collect(Collectors.joining(","));
        return wrong(name, "ctr", "5", "\"5\"", "{}", "[-1]", "[1.5]", "[\"a\"]", "[99999999999]", "[" + many + "]");
    }

    private static Wrong texts(String name) {
        String thousand = "[" + "\"x\",".repeat(999) + "\"x\"]";
        return wrong(name, "ctr", "5", "true", "{}", "[5]", "[\"\"]", thousand, "\"" + "x".repeat(5_000) + "\"");
    }

    private static final long TWO_32 = 1L << 32;

    private static List<Wrong> all() {
        String biases =
                IntStream.range(0, 100_000).mapToObj(i -> "\"" + i + "\":1").collect(Collectors.joining(",", "{", "}"));
        String pairs =
                IntStream.range(0, 17).mapToObj(i -> "\"" + i + "\":\"\"").collect(Collectors.joining(",", "{", "}"));
        return List.of(
                string("model", "ctr"),
                wrong("messages", "c", "5", "\"x\"", "{}", "[]", "[5]", "[{}]", "[{\"role\":\"user\",\"content\":5}]"),
                wrong("prompt", "t", "5", "{}", "[]", "[[]]", "[-1]", "[true]", "[\"a\",5]"),
                wrong("input", "r", "5", "{}", "[]", "[5]", "[{\"type\":\"x\"}]"),
                number("temperature", -0.001, 2.001),
                number("top_p", -0.001, 1.001),
                integer("top_k", "ctr", -2, TWO_32),
                number("min_p", -0.001, 1.001),
                number("typical_p", 0, 1.001),
                number("presence_penalty", -2.001, 2.001),
                number("frequency_penalty", -2.001, 2.001),
                number("repetition_penalty", 0, 10.001),
                integer("max_tokens", "ct", 0, TWO_32),
                integer("max_completion_tokens", "c", 0, TWO_32),
                integer("max_output_tokens", "r", 0, TWO_32),
                integer("min_tokens", "ctr", -1, TWO_32),
                integer("truncate_prompt_tokens", "ctr", 0, -2),
                integer("prompt_logprobs", "ct", -1, 21),
                wrong("prompt_logprobs", "r", "1"),
                integer("top_logprobs", "cr", -1, 21),
                wrong("include", "r", "5", "[5]", "[\"x\"]"),
                string("truncation", "r", "\"some\""),
                wrong("reasoning", "r", "5", "[]", "{\"effort\":\"huge\"}", "{\"summary\":\"long\"}"),
                integer("max_tool_calls", "r", 0, TWO_32),
                wrong("conversation", "r", "\"conv_1\""),
                wrong("prompt", "r", "{\"id\":\"p\"}"),
                wrong("n", "r", "2"),
                wrong("unknown_field", "r", "1"),
                bool("logprobs", "c"),
                integer("logprobs", "t", -1, 21),
                integer("n", "ct", 0, 129),
                integer("best_of", "ct", 0, 129),
                wrong("seed", "ctr", "\"1\"", "true", "1.5", "1e40"),
                texts("stop"),
                texts("bad_words"),
                ids("stop_token_ids", 1024),
                ids("allowed_token_ids", 1 << 18),
                wrong("allowed_token_ids", "ctr", "[]"),
                wrong(
                        "logit_bias",
                        "ctr",
                        "5",
                        "[]",
                        "{\"x\":1}",
                        "{\"-1\":1}",
                        "{\"1\":101}",
                        "{\"1\":\"x\"}",
                        biases),
                bool("ignore_eos", "ctr"),
                bool("include_stop_str_in_output", "ctr"),
                bool("skip_special_tokens", "ctr"),
                bool("spaces_between_special_tokens", "ctr"),
                bool("add_special_tokens", "ct"),
                bool("use_beam_search", "ctr"),
                wrong("use_beam_search", "ctr", "true"),
                wrong("logits_processors", "ctr", "[]"),
                bool("echo", "ct"),
                wrong("suffix", "t", "5", "\"x\""),
                bool("stream", "ctr"),
                wrong("stream_options", "ctr", "{}", "5"),
                bool("add_generation_prompt", "c"),
                bool("continue_final_message", "c"),
                wrong("chat_template", "c", "\"x\"", "5"),
                wrong(
                        "chat_template_kwargs",
                        "cr",
                        "5",
                        "[]",
                        "{\"messages\":[]}",
                        "{\"tools\":[]}",
                        "{\"add_generation_prompt\":true}",
                        "{\"chat_template\":\"x\"}"),
                wrong("documents", "c", "5", "{}", "[5]"),
                string("reasoning_effort", "c", "\"huge\""),
                string("verbosity", "c", "\"huge\""),
                wrong("modalities", "c", "[\"audio\"]", "5", "[5]"),
                wrong("audio", "c", "{}"),
                wrong("web_search_options", "c", "{}"),
                wrong("tools", "cr", "5", "{}", "[5]", "[{\"type\":\"x\"}]"),
                wrong("tool_choice", "cr", "5", "[]", "\"any\"", "\"required\"", "{\"type\":\"function\"}"),
                bool("parallel_tool_calls", "cr"),
                bool("include_reasoning", "cr"),
                wrong("functions", "c", "[]"),
                wrong("function_call", "c", "\"auto\""),
                string("user", "ctr"),
                string("safety_identifier", "ctr"),
                string("prompt_cache_key", "ctr"),
                string("prompt_cache_retention", "ctr"),
                string("cache_salt", "ctr"),
                string("service_tier", "ctr", "\"gold\""),
                wrong(
                        "metadata",
                        "ctr",
                        "5",
                        "[]",
                        "{\"a\":5}",
                        "{\"a\":null}",
                        pairs,
                        "{\"" + "k".repeat(65) + "\":\"\"}",
                        "{\"a\":\"" + "v".repeat(513) + "\"}"),
                bool("store", "ctr"));
    }

    @Test
    void everyWrongValueIs400NamingItsField() {
        for (Wrong each : all()) {
            for (char letter : each.endpoints().toCharArray()) {
                Endpoint endpoint = Endpoint.values()["ctr".indexOf(letter)];
                for (String value : each.values()) {
                    refused(endpoint, "\"" + each.name() + "\":" + value, each.name());
                }
                if (!each.name().matches("model|messages|prompt|input")) {
                    endpoint.read("\"" + each.name() + "\":null");
                }
            }
        }
    }

    @Test
    void contradictionsAre400NamingOneOfTheirFields() {
        refused(Endpoint.CHAT, "\"min_tokens\":5,\"max_tokens\":4", "min_tokens");
        refused(Endpoint.CHAT, "\"min_tokens\":5,\"max_completion_tokens\":4", "min_tokens");
        refused(Endpoint.COMPLETIONS, "\"n\":3,\"best_of\":2", "best_of");
        refused(Endpoint.COMPLETIONS, "\"n\":1,\"best_of\":2,\"stream\":true", "best_of");
        refused(Endpoint.COMPLETIONS, "\"n\":1,\"best_of\":2,\"store\":true", "best_of");
        refused(Endpoint.CHAT, "\"best_of\":2", "best_of");
        refused(Endpoint.CHAT, "\"top_logprobs\":2", "top_logprobs");
        refused(
                Endpoint.CHAT,
                "\"continue_final_message\":true,\"add_generation_prompt\":true",
                "continue_final_message");
        refused(Endpoint.COMPLETIONS, "\"echo\":false,\"max_tokens\":0", "max_tokens");
        refused(Endpoint.CHAT, "\"guided_regex\":\"a\",\"guided_choice\":[\"a\"]", "guided_regex");
        refused(Endpoint.RESPONSES, "\"background\":true,\"store\":false", "store");
        assertThat(Endpoint.COMPLETIONS
                        .read("\"n\":2,\"best_of\":2")
                        .submit()
                        .getShape()
                        .getBest())
                .isZero();
        assertThat(Endpoint.CHAT.read("\"best_of\":1").submit().getN()).isEqualTo(1);
    }

    private static void refused(Endpoint endpoint, String fields, String name) {
        String shown = endpoint + " " + fields.substring(0, Math.min(100, fields.length()));
        ApiException e = catchThrowableOfType(ApiException.class, () -> endpoint.read(fields));
        assertThat(e).as(shown).isNotNull();
        assertThat(e.error().status()).as(shown).isEqualTo(400);
        assertThat(e.error().type()).isEqualTo("invalid_request_error");
        String param = String.valueOf(e.error().param());
        assertThat(param.equals(name) || param.startsWith(name + ".") || param.startsWith(name + "["))
                .as(shown + ": " + param)
                .isTrue();
        assertThat(e.error().message().length()).as(shown).isLessThan(1_000);
    }

    @Test
    void whatTheBodySaysBesideSamplingStandsInTheRecord() {
        assertThat(Endpoint.CHAT
                        .read("\"reasoning_effort\":\"low\",\"chat_template_kwargs\":{\"reasoning_effort\":\"high\"}")
                        .prompts()
                        .getFirst()
                        .input()
                        .getChat()
                        .getTemplateKwargsJson())
                .isEqualTo("{\"reasoning_effort\":\"high\"}");
        Draft draft = Endpoint.CHAT.read("\"reasoning_effort\":\"low\",\"documents\":[{\"text\": 1.50}],"
                + "\"chat_template_kwargs\":{\"a\": 1.0}");
        assertThat(draft.prompts().getFirst().input().getChat().getTemplateKwargsJson())
                .isEqualTo("{\"a\": 1.0,\"reasoning_effort\":\"low\",\"documents\":[{\"text\": 1.50}]}");
        assertThat(Endpoint.CHAT.read("\"service_tier\":\"flex\"").submit().getPriority())
                .isLessThan(
                        Endpoint.CHAT.read("\"service_tier\":\"auto\"").submit().getPriority());
        assertThat(Endpoint.CHAT.read("\"service_tier\":\"priority\"").submit().getPriority())
                .isGreaterThan(Endpoint.CHAT.read("").submit().getPriority());
    }

    @Test
    void thePageListsExactlyTheFieldsThatEachEndpointReads() throws IOException {
        SortedMap<String, String> expected = new TreeMap<>();
        List<SortedSet<String>> read =
                Arrays.stream(Endpoint.values()).map(Endpoint::fields).toList();
        read.forEach(names -> names.forEach(name -> expected.putIfAbsent(name, "")));
        expected.replaceAll((name, none) ->
                read.stream().map(names -> names.contains(name) ? "read" : "-").collect(Collectors.joining(" ")));
        SortedMap<String, String> listed = new TreeMap<>();
        Matcher rows = ROW.matcher(Files.readString(ROOT.resolve("docs/parameters.md")));
        while (rows.find()) {
            String marks = IntStream.rangeClosed(2, 4)
                    .mapToObj(rows::group)
                    .peek(mark -> assertThat(mark).isIn("yes", "400", "-"))
                    .map(mark -> mark.equals("-") ? "-" : "read")
                    .collect(Collectors.joining(" "));
            assertThat(listed.put(rows.group(1), marks)).as(rows.group(1)).isNull();
        }
        assertThat(listed).isEqualTo(expected);
    }

    @Test
    void everyParameterHasATestThatExists() throws IOException {
        Map<String, String> sources = new TreeMap<>();
        for (String module : List.of("gateway", "router", "worker", "standalone", "shared-model")) {
            try (Stream<Path> tree = Files.walk(ROOT.resolve(module).resolve("src/test/java"))) {
                for (Path file : tree.filter(path -> path.toString().endsWith("Test.java"))
                        .toList()) {
                    String name = file.getFileName().toString();
                    sources.put(name.substring(0, name.length() - ".java".length()), Files.readString(file));
                }
            }
        }
        List<String> missing = new ArrayList<>();
        Matcher rows = ROW.matcher(Files.readString(ROOT.resolve("docs/parameters.md")));
        while (rows.find()) {
            Matcher test = TEST.matcher(rows.group(5));
            int count = 0;
            while (test.find()) {
                count++;
                if (!sources.getOrDefault(test.group(1), "").contains(" " + test.group(2) + "(")) {
                    missing.add(rows.group(1) + ": " + test.group());
                }
            }
            if (count == 0) {
                missing.add(rows.group(1) + ": none");
            }
        }
        assertThat(missing).isEmpty();
    }
}
