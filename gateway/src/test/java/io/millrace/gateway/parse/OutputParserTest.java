package io.millrace.gateway.parse;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ToolUse;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What models write, in each format, and what it is read as. */
class OutputParserTest {

    private static ChatInput chat(ToolFormat format, String reasoning, boolean single) {
        return ChatInput.newBuilder()
                .setReasoningFormat(reasoning)
                .setToolUse(ToolUse.newBuilder()
                        .setFormat(format.text())
                        .setSingle(single)
                        .addFunctions("get_weather")
                        .addFunctions("add"))
                .build();
    }

    /** In short: {@code think(…)}, {@code call name}, its arguments, and content in quotes. */
    private static String read(ChatInput chat, List<String> pieces) {
        List<String> seen = new ArrayList<>();
        StringBuilder open = new StringBuilder();
        String[] kind = {""};
        var sink = new OutputSink() {
            void piece(String next, String piece) {
                assertThat(piece).isNotEmpty();
                if (!kind[0].equals(next)) {
                    end();
                    kind[0] = next;
                }
                open.append(piece);
            }

            void end() {
                if (!open.isEmpty()) {
                    seen.add(kind[0] + "(" + open + ")");
                }
                open.setLength(0);
                kind[0] = "";
            }

            @Override
            public void content(String piece) {
                piece("text", piece);
            }

            @Override
            public void reasoning(String piece) {
                piece("think", piece);
            }

            @Override
            public void call(int index, String name) {
                end();
                seen.add("call " + index + " " + name);
            }

            @Override
            public void arguments(int index, String piece) {
                piece("args " + index, piece);
            }
        };
        OutputParser parser = OutputParser.of(chat);
        pieces.forEach(piece -> parser.accept(piece, sink));
        parser.finish(sink);
        sink.end();
        return String.join(" ", seen);
    }

    private static String read(ToolFormat format, String text) {
        ChatInput chat = chat(format, "think", false);
        String whole = read(chat, List.of(text));
        List<String> points = text.codePoints().mapToObj(Character::toString).toList();
        assertThat(read(chat, points)).as("character by character: " + text).isEqualTo(whole);
        for (int cut = 1; cut < points.size(); cut++) {
            assertThat(read(
                            chat,
                            List.of(
                                    String.join("", points.subList(0, cut)),
                                    String.join("", points.subList(cut, points.size())))))
                    .as("cut at " + cut + ": " + text)
                    .isEqualTo(whole);
        }
        return whole;
    }

    private static final String PARIS = "call 0 get_weather args 0({\"city\": \"Paris 🙂\"})";
    private static final String BOTH = PARIS + " call 1 add args 1({\"a\": 1, \"b\": [2.5e1, null]})";
    private static final String CITY = "{\"city\": \"Paris 🙂\"}";
    private static final String SUM = "{\"a\": 1, \"b\": [2.5e1, null]}";

    @Test
    void hermes() {
        ToolFormat f = ToolFormat.HERMES;
        String one = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": " + CITY + "}\n</tool_call>";
        String two = "<tool_call>\n{\"arguments\": " + SUM + ", \"name\": \"add\"}\n</tool_call>";
        assertThat(read(f, one)).isEqualTo(PARIS);
        assertThat(read(f, one + "\n" + two + "\n")).isEqualTo(BOTH);
        assertThat(read(
                        f,
                        "<tool_call>" + one.substring(12, one.indexOf("\n</")) + "\n"
                                + two.substring(12, two.indexOf("\n</")) + "</tool_call>"))
                .isEqualTo(BOTH);
        assertThat(read(f, "Let me see.\n\n" + one)).isEqualTo("text(Let me see.) " + PARIS);
        assertThat(read(f, one + "\n\nDone.")).isEqualTo(PARIS + " text(\n\nDone.)");
        assertThat(read(f, one.replace("\n</tool_call>", ""))).isEqualTo(PARIS);
        assertThat(read(f, "<think>\nI could\n\n call <tool_call>.\n</think>\n\n" + one))
                .isEqualTo("think(I could\n\n call <tool_call>.) " + PARIS);
        assertThat(read(f, "a < b, <tool, <tool_call and  \n")).isEqualTo("text(a < b, <tool, <tool_call and  \n)");
    }

    @Test
    void hermesThatIsMalformedIsContent() {
        ToolFormat f = ToolFormat.HERMES;
        for (String text : List.of(
                "<tool_call>",
                "<tool_call>\nget_weather(Paris)\n</tool_call>",
                "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": 7}\n</tool_call>",
                "<tool_call>\n{\"name\": \"unknown\", \"arguments\": {}}\n</tool_call>",
                "<tool_call>\n{\"city\": {\"name\": \"add\"}}\n</tool_call>",
                "<tool_call>\n{\"name\": \"get_weather\", ",
                "x </tool_call> y",
                "  <tool_call>{{\"name\": \"add\"}}</tool_call> ")) {
            assertThat(read(f, text)).isEqualTo("text(" + text + ")");
        }
        assertThat(read(f, "<tool_call>\n<tool_call>\n{\"name\": \"add\"}\n</tool_call>"))
                .isEqualTo("text(<tool_call>\n) call 0 add args 0({})");
    }

    @Test
    void argumentsThatAreNoJsonAreHandedOnAsTheyAre() {
        assertThat(read(
                        ToolFormat.HERMES,
                        "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": one}}\n</tool_call>\nok"))
                .isEqualTo("call 0 add args 0({\"a\": one}}) text(\nok)");
        assertThat(read(ToolFormat.LLAMA3_JSON, "{\"name\": \"add\", \"parameters\": {\"a\": one}} "))
                .isEqualTo("call 0 add args 0({\"a\": one}} )");
        assertThat(read(ToolFormat.HERMES, "<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": \"</tool_"))
                .isEqualTo("call 0 add args 0({\"a\": \"</tool_)");
    }

    @Test
    void llama() {
        ToolFormat f = ToolFormat.LLAMA3_JSON;
        String one = "{\"name\": \"get_weather\", \"parameters\": " + CITY + "}";
        String two = "{\"type\": \"function\", \"name\": \"add\", \"parameters\": " + SUM + "}";
        assertThat(read(f, one)).isEqualTo(PARIS);
        assertThat(read(f, "<|python_tag|>" + one + "; " + two)).isEqualTo(BOTH);
        assertThat(read(f, "\n" + one + "\n" + two + "\n")).isEqualTo(BOTH);
        assertThat(read(f, "[" + one + ", " + two + "]")).isEqualTo(BOTH);
        assertThat(read(f, one + " Is that right?")).isEqualTo(PARIS + " text( Is that right?)");
        for (String text : List.of(
                "{\"city\": \"Paris\"}",
                "{\"name\": \"Paris\", \"parameters\": {}}",
                "{\"name\": \"add\"",
                "[1, 2]",
                "[" + one.replace("get_weather", "x") + "]",
                "<|python_tag|>brave_search.call(query=\"x\")",
                "Hi " + one,
                " \n",
                "")) {
            assertThat(read(f, text)).isEqualTo(text.isEmpty() ? "" : "text(" + text + ")");
        }
    }

    @Test
    void llamaInPythonsNotation() {
        ToolFormat f = ToolFormat.LLAMA3_PYTHONIC;
        assertThat(read(f, "[get_weather(city='Paris 🙂'), add(a=1, b=[2.5e1, None], c={'k': (True, -0.5)})]"))
                .isEqualTo("call 0 get_weather args 0({\"city\":\"Paris 🙂\"})"
                        + " call 1 add args 1({\"a\":1,\"b\":[2.5e1,null],\"c\":{\"k\":[true,-0.5]}})");
        assertThat(read(f, "<|python_start|>[add(s=\"a\\\"b\\\\c\\n'\", t='\"')]<|python_end|>"))
                .isEqualTo("call 0 add args 0({\"s\":\"a\\\"b\\\\c\\n'\",\"t\":\"\\\"\"})");
        assertThat(read(f, "[add()]")).isEqualTo("call 0 add args 0({})");
        assertThat(read(f, "{\"name\": \"add\", \"parameters\": {}}")).isEqualTo("call 0 add args 0({})");
        for (String text : List.of("[1, 2, 3]", "[other(a=1)]", "[add", "[see the sum]", "add(a=1)")) {
            assertThat(read(f, text)).isEqualTo("text(" + text + ")");
        }
        assertThat(read(f, "[add(a=1, b=x y)]")).startsWith("call 0 add args 0({\"a\":1,\"b\":");
    }

    @ParameterizedTest
    @EnumSource(names = {"MISTRAL", "MISTRAL_ARGS"})
    void mistral(ToolFormat f) {
        String list = "[{\"name\": \"get_weather\", \"arguments\": " + CITY + "}, {\"name\": \"add\", \"arguments\": "
                + SUM + ", \"id\": \"abc123def\"}]";
        assertThat(read(f, "[TOOL_CALLS]" + list)).isEqualTo(BOTH);
        assertThat(read(f, "[TOOL_CALLS] " + list)).isEqualTo(BOTH);
        assertThat(read(f, "[TOOL_CALLS]get_weather[ARGS]" + CITY + "[TOOL_CALLS]add[ARGS]" + SUM))
                .isEqualTo(BOTH);
        assertThat(read(f, "[TOOL_CALLS]get_weather[CALL_ID]a1b2c3d4e[ARGS]" + CITY))
                .isEqualTo(PARIS);
        assertThat(read(f, "I look.[TOOL_CALLS]get_weather" + CITY)).isEqualTo("text(I look.) " + PARIS);
        assertThat(read(f, "[TOOL_CALLS]{\"name\": \"get_weather\", \"arguments\": " + CITY + "}"))
                .isEqualTo(PARIS);
        for (String text : List.of(
                "[TOOL_CALLS]nothing[ARGS]{}",
                "[TOOL_CALLS][1]",
                "[TOOL_CALLS]",
                "[TOOL_CALLS]get_weather",
                "[1] [TOOL] [TOOL_CALLS] is a marker")) {
            assertThat(read(f, text)).isEqualTo("text(" + text + ")");
        }
        assertThat(read(f, "[TOOL_CALLS]" + list.replace("add", "sub")))
                .startsWith(PARIS + " text(, {\"name\": \"sub\"");
    }

    @Test
    void generic() {
        ToolFormat f = ToolFormat.GENERIC;
        String one = "{\"name\": \"get_weather\", \"arguments\": " + CITY + "}";
        String two = "{\"name\": \"add\", \"arguments\": " + SUM + "}";
        assertThat(read(f, one + "\n" + two)).isEqualTo(BOTH);
        assertThat(read(f, "```json\n[" + one + "," + two + "]\n```\n")).isEqualTo(BOTH);
        assertThat(read(f, "```\n" + one + "\n```")).isEqualTo(PARIS);
        assertThat(read(f, "{\"name\": \"add\", \"arguments\": \"{\\\"a\\\": \\\"\\ud83d\\ude42\\\\n\\\"}\"}"))
                .isEqualTo("call 0 add args 0({\"a\": \"🙂\\n\"})");
        for (String text : List.of("```python\nprint(1)\n```", "```json\n{\"a\": 1}\n```", "{}", "{\"name\": 1}")) {
            assertThat(read(f, text)).isEqualTo("text(" + text + ")");
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "<think>a b</think>c | think(a b) text(c)",
                "<think>a | think(a)",
                "<think></think>c | text(c)",
                "<thinking>a</thinking> | text(<thinking>a</thinking>)",
                "a<think>b</think> | text(a<think>b</think>)",
                "<think>a</thin | think(a</thin)",
            })
    void reasoning(String text, String expected) {
        assertThat(read(ToolFormat.HERMES, text)).isEqualTo(expected);
        ChatInput noTools = ChatInput.newBuilder().setReasoningFormat("think").build();
        assertThat(read(noTools, List.of(text))).isEqualTo(expected);
        assertThat(read(ChatInput.getDefaultInstance(), List.of(text))).isEqualTo("text(" + text + ")");
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void onlyTheFirstCallCountsWhereOneIsAskedFor(boolean single) {
        String text = "<tool_call>{\"name\": \"add\"}</tool_call><tool_call>{\"name\": \"add\"}</tool_call>";
        assertThat(read(chat(ToolFormat.HERMES, "", single), List.of(text)))
                .isEqualTo("call 0 add args 0({})" + (single ? "" : " call 1 add args 1({})"));
    }

    /** Fragments of all formats in any order: nothing is thrown, nothing depends on where the text is cut. */
    @ParameterizedTest
    @EnumSource
    void everySplitOfAnyTextGivesTheSame(ToolFormat format) {
        List<String> fragments = List.of(
                "<tool_call>",
                "</tool_call>",
                "[TOOL_CALLS]",
                "[ARGS]",
                "<|python_tag|>",
                "<think>",
                "</think>",
                "```json\n",
                "```",
                "{\"name\": \"add\", \"arguments\": ",
                "{\"name\": \"add\", \"parameters\": ",
                "{\"a\": 1",
                "}",
                "]",
                "[",
                ", ",
                "add(",
                "a='x'",
                ")",
                " ",
                "\n",
                "é🙂",
                "\"",
                "\\",
                "<",
                "add",
                "null",
                "; ",
                "-1.5e",
                "0");
        for (int seed = 0; seed < 2000; seed++) {
            Random random = new Random(seed);
            StringBuilder text = new StringBuilder();
            int count = 1 + random.nextInt(10);
            for (int i = 0; i < count; i++) {
                text.append(fragments.get(random.nextInt(fragments.size())));
            }
            ChatInput chat = chat(format, random.nextBoolean() ? "think" : "", random.nextBoolean());
            List<String> points =
                    text.codePoints().mapToObj(Character::toString).toList();
            List<String> cut = new ArrayList<>();
            for (int at = 0; at < points.size(); ) {
                int to = Math.min(points.size(), at + 1 + random.nextInt(6));
                cut.add(String.join("", points.subList(at, to)));
                at = to;
            }
            String whole = read(chat, List.of(text.toString()));
            assertThat(read(chat, cut)).as(text.toString()).isEqualTo(whole);
            assertThat(read(chat, points)).as(text.toString()).isEqualTo(whole);
        }
    }

    @Test
    void argumentsComeAsTheyAreWritten() {
        List<String> seen = new ArrayList<>();
        OutputParser parser = OutputParser.of(chat(ToolFormat.HERMES, "", false));
        OutputSink sink = new OutputSink() {
            @Override
            public void content(String piece) {
                seen.add("content");
            }

            @Override
            public void reasoning(String piece) {
                seen.add("reasoning");
            }

            @Override
            public void call(int index, String name) {
                seen.add(name);
            }

            @Override
            public void arguments(int index, String piece) {
                seen.add(piece);
            }
        };
        for (String piece : List.of(
                "<tool_call>",
                "\n{\"name\"",
                ": \"add\", ",
                "\"arguments\":",
                " {\"a\"",
                ": 1",
                "}",
                "}\n",
                "</tool_call>")) {
            parser.accept(piece, sink);
        }
        assertThat(seen).containsExactly("add", "{\"a\"", ": 1", "}");
    }
}
