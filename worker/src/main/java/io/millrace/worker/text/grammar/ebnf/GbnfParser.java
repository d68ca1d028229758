package io.millrace.worker.text.grammar.ebnf;

import io.millrace.worker.text.grammar.automaton.CharSet;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * GBNF, as llama.cpp defines it: {@code name ::= …} with literals, character classes, {@code .}, groups, {@code |}, {@code * + ?},
 * {@code {m,n}}, comments by {@code #}. The grammar begins with the rule {@code root}. Line breaks are white space; a rule ends where
 * the next begins.
 */
final class GbnfParser {

    private static final String NAME = "-_";

    private final Scanner in;

    private GbnfParser(String text) {
        in = new Scanner(text);
    }

    static Rules parse(String text) {
        GbnfParser parser = new GbnfParser(text);
        Map<String, Expr> rules = new LinkedHashMap<>();
        parser.space();
        while (!parser.in.atEnd()) {
            String name = parser.in.name(NAME);
            parser.space();
            if (name.isEmpty() || !parser.in.take("::=")) {
                throw parser.in.invalid("has no rule (name ::= …) where one is wanted");
            }
            if (rules.put(name, parser.alternatives()) != null) {
                throw parser.in.invalid("ends a second rule named '" + name + "'");
            }
        }
        if (!rules.containsKey("root")) {
            throw GrammarException.invalid("it has no rule named 'root', where a GBNF grammar begins.");
        }
        return new Rules(rules, "root");
    }

    private Expr alternatives() {
        in.enter();
        List<Expr> options = new ArrayList<>();
        do {
            options.add(sequence());
        } while (in.take("|"));
        in.leave();
        return options.size() == 1 ? options.getFirst() : new Expr.Alt(List.copyOf(options));
    }

    private Expr sequence() {
        List<Expr> items = new ArrayList<>();
        space();
        while (!in.atEnd() && in.peek() != '|' && in.peek() != ')' && !ruleBegins()) {
            items.add(quantified(item()));
            space();
        }
        return items.size() == 1 ? items.getFirst() : new Expr.Seq(List.copyOf(items));
    }

    private boolean ruleBegins() {
        int position = in.position();
        boolean named = !in.name(NAME).isEmpty();
        space();
        boolean begins = named && in.looksAt("::=");
        in.back(position);
        return begins;
    }

    private Expr item() {
        int line = in.line();
        String name = in.name(NAME);
        if (!name.isEmpty()) {
            return new Expr.Call(name, line);
        }
        int c = in.next();
        return switch (c) {
            case '"' -> new Expr.Regular(Rx.literal(in.quoted()));
            case '[' -> new Expr.Regular(new Rx.Chars(characterClass()));
            case '.' -> new Expr.Regular(Rx.ANY);
            case '(' -> {
                Expr inner = alternatives();
                if (!in.take(")")) {
                    throw in.invalid("has a '(' that is not closed");
                }
                yield inner;
            }
            case '<', '!' -> throw in.unsupported("tokens (<…>)");
            default -> throw in.invalid("has an unexpected '" + Character.toString(c) + "'");
        };
    }

    private Expr quantified(Expr item) {
        Expr result = item;
        while (true) {
            if (in.take("*")) {
                result = new Expr.Repeat(result, 0, -1);
            } else if (in.take("+")) {
                result = new Expr.Repeat(result, 1, -1);
            } else if (in.take("?")) {
                result = new Expr.Repeat(result, 0, 1);
            } else if (in.take("{")) {
                result = counted(result);
            } else {
                return result;
            }
        }
    }

    private Expr counted(Expr item) {
        space();
        int min = in.peek() == ',' ? 0 : in.number();
        int max = min;
        space();
        if (in.take(",")) {
            space();
            max = in.peek() == '}' ? -1 : in.number();
            space();
        }
        if (!in.take("}") || max >= 0 && max < min) {
            throw in.invalid("has a repetition that is not {m}, {m,} or {m,n}");
        }
        return new Expr.Repeat(item, min, max);
    }

    private CharSet characterClass() {
        boolean negated = in.take("^");
        List<CharSet> parts = new ArrayList<>();
        while (!in.take("]")) {
            int first = member();
            int last = first;
            if (in.looksAt("-") && !in.looksAt("-]")) {
                in.next();
                last = member();
            }
            if (last < first) {
                throw in.invalid("has a range in a class that is none");
            }
            parts.add(CharSet.range(first, last).and(CharSet.ALL));
        }
        CharSet set = CharSet.union(parts);
        return negated ? set.negate() : set;
    }

    private int member() {
        if (in.atEnd() || in.peek() == '\n') {
            throw in.invalid("has a '[' that is not closed");
        }
        int c = in.next();
        return c == '\\' ? in.escaped() : c;
    }

    private void space() {
        while (!in.atEnd()) {
            if (in.peek() == '#') {
                in.skipLine();
            } else if (Character.isWhitespace(in.peek())) {
                in.next();
            } else {
                return;
            }
        }
    }
}
