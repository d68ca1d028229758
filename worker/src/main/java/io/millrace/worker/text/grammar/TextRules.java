package io.millrace.worker.text.grammar;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.ByteEncoding;
import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.util.List;

/** Rules for text around bound parts: free text, markers, reasoning. Not thread-safe. */
final class TextRules {

    private static final String ANY = "[\\s\\S]*";
    private static final String WHITE = "[ \\n\\t\\r]*";

    private final Markers markers;
    private final GrammarBuilder builder;
    private final Budget budget;

    TextRules(Markers markers, GrammarBuilder builder, Budget budget) {
        this.markers = markers;
        this.builder = builder;
        this.budget = budget;
    }

    GrammarBuilder builder() {
        return builder;
    }

    Budget budget() {
        return budget;
    }

    /** An edge of ASCII text. */
    int text(int from, String text) {
        int to = builder.node();
        builder.terminal(from, builder.terminal(Rx.literal(text)), to);
        return to;
    }

    int marker(int from, String marker) {
        int to = builder.node();
        builder.terminal(from, builder.terminal(markers.bytes(marker)), to);
        return to;
    }

    /** Text, perhaps none, that has none of these in it. */
    int without(int from, List<String> texts) {
        return free(from, ANY + "(" + alternatives(texts) + ")" + ANY);
    }

    /** Text, perhaps none, that does not begin with one of these, white space aside. */
    int notBeginningWith(int from, List<String> texts) {
        return free(from, WHITE + "(" + alternatives(texts) + ")" + ANY);
    }

    private static String alternatives(List<String> texts) {
        StringBuilder regex = new StringBuilder();
        for (String text : texts) {
            regex.append(regex.isEmpty() ? "" : "|");
            text.chars().forEach(c -> {
                if ("^$\\.*+?()[]{}|/".indexOf(c) >= 0) {
                    regex.append('\\');
                }
                regex.append((char) c);
            });
        }
        return regex.toString();
    }

    private int free(int from, String refused) {
        Automaton any = RegexParser.parse(ANY).compile(budget);
        Automaton text = any.minus(RegexParser.parse(refused).compile(budget), budget);
        int to = builder.node();
        builder.epsilon(from, to);
        builder.terminal(from, builder.terminal(ByteEncoding.encode(text, ByteEncoding.Mode.UTF8, budget)), to);
        return to;
    }

    /**
     * The rule of reasoning before an output.
     *
     * @param open it has begun already; otherwise it may be missing
     */
    int afterReasoning(ReasoningFormat format, boolean open, int output) {
        int rule = builder.rule("reasoning");
        int begin = builder.start(rule);
        int end = builder.node();
        builder.end(end);
        int inside = open ? begin : marker(begin, format.open());
        int closed = marker(without(inside, List.of(format.close())), format.close());
        int white = builder.node();
        builder.epsilon(closed, white);
        builder.terminal(closed, builder.terminal(RegexParser.parse("\\n{1,3}")), white);
        builder.call(white, output, end);
        if (!open) {
            builder.call(begin, output, end);
        }
        return rule;
    }
}
