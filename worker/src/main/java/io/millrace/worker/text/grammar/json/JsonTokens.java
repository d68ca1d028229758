package io.millrace.worker.text.grammar.json;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.ByteEncoding;
import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import io.millrace.worker.text.grammar.machine.ByteDfa;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/**
 * The pieces of JSON texts as terminals, with the white space that may stand around them. Not thread-safe.
 *
 * <p>White space, unless compact: after a colon at most one space; after an opening bracket or a comma, and before a closing bracket,
 * one space, or a line break and up to 40 spaces.
 */
final class JsonTokens {

    private static final String LINE = "( |\\n {0,40})?";

    private final GrammarBuilder grammar;
    private final Budget budget;
    private final StringLanguages strings;
    private final NumberLanguages numbers;
    private final Rx line;
    private final Rx space;
    private final Map<Object, ByteDfa> known = new HashMap<>();

    private record Word(String text) {}

    private record Pattern(String before, boolean lineBefore, String text, boolean lineAfter) {}

    JsonTokens(
            GrammarBuilder grammar, Budget budget, StringLanguages strings, NumberLanguages numbers, boolean compact) {
        this.grammar = grammar;
        this.budget = budget;
        this.strings = strings;
        this.numbers = numbers;
        this.line = compact ? Rx.EMPTY : RegexParser.parse(LINE);
        this.space = compact ? Rx.EMPTY : RegexParser.parse(" ?");
    }

    /** {@code null}, {@code true}, {@code false}. */
    ByteDfa word(String text) {
        return known.computeIfAbsent(new Word(text), w -> grammar.terminal(Rx.literal(text)));
    }

    /** An opening bracket or a comma, and white space. */
    ByteDfa open(String text) {
        return known.computeIfAbsent(
                new Pattern("", false, text, true), p -> grammar.terminal(Rx.seq(Rx.literal(text), line)));
    }

    /** White space and a closing bracket. */
    ByteDfa close(String text) {
        return known.computeIfAbsent(
                new Pattern("", true, text, false), p -> grammar.terminal(Rx.seq(line, Rx.literal(text))));
    }

    ByteDfa string(StringLanguages.Shape shape) {
        return known.computeIfAbsent(shape, s -> {
            Automaton content = content(
                    strings.of(shape), shape.isByLength() ? ByteEncoding.Mode.JSON_ANY : ByteEncoding.Mode.JSON);
            return grammar.terminal(Rx.seq(Rx.literal("\""), new Rx.Embedded(content), Rx.literal("\"")));
        });
    }

    private Automaton content(Automaton text, ByteEncoding.Mode mode) {
        return ByteEncoding.encode(text, mode, budget);
    }

    ByteDfa number(NumberShape shape) {
        return known.computeIfAbsent(shape, s -> grammar.terminal(numbers.of(shape)));
    }

    /** Any of these values, written without white space. */
    ByteDfa literals(List<JsonNode> values) {
        List<Rx> options = new ArrayList<>();
        values.forEach(value -> {
            StringBuilder text = new StringBuilder();
            write(value, text);
            options.add(bytes(text.toString()));
        });
        return grammar.terminal(new Rx.Alt(options));
    }

    private static Rx bytes(String text) {
        return Rx.literal(new String(text.getBytes(StandardCharsets.UTF_8), StandardCharsets.ISO_8859_1));
    }

    /** A property's name with its colon, after a comma unless it is the first. */
    ByteDfa name(String name, boolean first) {
        StringBuilder text = new StringBuilder();
        quote(name, text);
        return named(bytes(text.toString()), first);
    }

    /** As {@link #name}, for any of many names. */
    ByteDfa name(Automaton names, boolean first) {
        return named(
                Rx.seq(Rx.literal("\""), new Rx.Embedded(content(names, ByteEncoding.Mode.JSON)), Rx.literal("\"")),
                first);
    }

    private ByteDfa named(Rx quoted, boolean first) {
        Rx before = first ? Rx.EMPTY : Rx.seq(Rx.literal(","), line);
        return grammar.terminal(Rx.seq(before, quoted, Rx.literal(":"), space));
    }

    /** JSON text of a value, shortest form, properties in their order. */
    static void write(JsonNode value, StringBuilder out) {
        switch (value.getNodeType()) {
            case STRING -> quote(value.stringValue(), out);
            case NUMBER -> out.append(number(value));
            case ARRAY -> {
                String separator = "[";
                for (JsonNode each : value) {
                    out.append(separator);
                    write(each, out);
                    separator = ",";
                }
                out.append(value.isEmpty() ? "[]" : "]");
            }
            case OBJECT -> {
                String separator = "{";
                for (Map.Entry<String, JsonNode> each : value.properties()) {
                    out.append(separator);
                    quote(each.getKey(), out);
                    out.append(':');
                    write(each.getValue(), out);
                    separator = ",";
                }
                out.append(value.isEmpty() ? "{}" : "}");
            }
            default -> out.append(value);
        }
    }

    private static String number(JsonNode value) {
        var decimal = value.decimalValue().stripTrailingZeros();
        return Math.abs(decimal.scale()) > 400 ? value.toString() : decimal.toPlainString();
    }

    private static void quote(String text, StringBuilder out) {
        out.append('"');
        text.codePoints().forEach(c -> {
            switch (c) {
                case '"' -> out.append("\\\"");
                case '\\' -> out.append("\\\\");
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\b' -> out.append("\\b");
                case '\f' -> out.append("\\f");
                default -> {
                    if (c < 0x20) {
                        out.append("\\u%04x".formatted(c));
                    } else {
                        out.appendCodePoint(c);
                    }
                }
            }
        });
        out.append('"');
    }
}
