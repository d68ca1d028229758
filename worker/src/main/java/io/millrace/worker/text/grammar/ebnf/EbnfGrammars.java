package io.millrace.worker.text.grammar.ebnf;

import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.ByteEncoding;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.Rx;
import io.millrace.worker.text.grammar.machine.ByteDfa;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Grammars in GBNF (with {@code ::=}) or Lark's notation. What is regular in them, across rules, becomes one terminal; only recursion
 * is left to the stack. Not thread-safe.
 */
public final class EbnfGrammars {

    private static final int CHARACTERS_MAX = 1 << 20;
    private static final int INLINE_MAX = 2_000;

    private final Rules rules;
    private final GrammarBuilder grammar;
    private final Budget budget;
    private final Map<String, Integer> ids = new HashMap<>();
    private final Map<String, Boolean> regular = new HashMap<>();
    private final Map<Rx, ByteDfa> terminals = new HashMap<>();

    private EbnfGrammars(Rules rules, GrammarBuilder grammar, Budget budget) {
        this.rules = rules;
        this.grammar = grammar;
        this.budget = budget;
    }

    /** Adds the rule of all texts of a grammar. */
    public static int add(String text, GrammarBuilder grammar, Budget budget) {
        if (text.length() > CHARACTERS_MAX) {
            throw GrammarException.tooLarge(
                    "it has %,d characters; at most %,d work.".formatted(text.length(), CHARACTERS_MAX));
        }
        Rules rules = text.contains("::=") ? GbnfParser.parse(text) : LarkParser.parse(text);
        return new EbnfGrammars(rules, grammar, budget).compile();
    }

    private int compile() {
        rules.byName().values().forEach(this::checkCalls);
        rules.byName().keySet().forEach(name -> ids.put(name, grammar.rule(name)));
        rules.byName().forEach((name, body) -> {
            int end = grammar.node();
            grammar.end(end);
            add(joined(body), grammar.start(id(name)), end);
        });
        return id(rules.start());
    }

    private int id(String rule) {
        Integer id = ids.get(rule);
        return id == null ? -1 : id;
    }

    private void checkCalls(Expr expr) {
        budget.spend(1);
        switch (expr) {
            case Expr.Regular r -> {}
            case Expr.Seq(List<Expr> items) -> items.forEach(this::checkCalls);
            case Expr.Alt(List<Expr> options) -> options.forEach(this::checkCalls);
            case Expr.Repeat(Expr item, int min, int max) -> checkCalls(item);
            case Expr.Call(String rule, int line) -> {
                if (!rules.byName().containsKey(rule)) {
                    throw GrammarException.invalid(
                            "line " + line + " names the rule '" + rule + "', which is nowhere.");
                }
            }
        }
    }

    /** The same with everything regular in it joined. */
    private Expr joined(Expr expr) {
        Rx whole = rx(expr);
        if (whole != null) {
            return new Expr.Regular(whole);
        }
        return switch (expr) {
            case Expr.Seq(List<Expr> items) -> new Expr.Seq(joinedItems(items));
            case Expr.Alt(List<Expr> options) -> {
                List<Rx> simple = new ArrayList<>();
                List<Expr> others = new ArrayList<>();
                for (Expr option : options) {
                    Rx rx = rx(option);
                    if (rx != null) {
                        simple.add(rx);
                    } else {
                        others.add(joined(option));
                    }
                }
                if (!simple.isEmpty()) {
                    others.add(new Expr.Regular(new Rx.Alt(List.copyOf(simple))));
                }
                yield new Expr.Alt(List.copyOf(others));
            }
            case Expr.Repeat(Expr item, int min, int max) -> new Expr.Repeat(joined(item), min, max);
            default -> expr;
        };
    }

    private List<Expr> joinedItems(List<Expr> items) {
        List<Expr> joined = new ArrayList<>();
        List<Rx> run = new ArrayList<>();
        for (Expr item : items) {
            Rx rx = rx(item);
            if (rx != null) {
                run.add(rx);
                continue;
            }
            flush(run, joined);
            joined.add(joined(item));
        }
        flush(run, joined);
        return List.copyOf(joined);
    }

    private static void flush(List<Rx> run, List<Expr> joined) {
        if (!run.isEmpty()) {
            joined.add(new Expr.Regular(new Rx.Seq(List.copyOf(run))));
            run.clear();
        }
    }

    /** The expression without rules, if that is possible and not too long. */
    private @Nullable Rx rx(Expr expr) {
        return isRegular(expr) && size(expr) <= INLINE_MAX ? inlined(expr) : null;
    }

    private Rx inlined(Expr expr) {
        return switch (expr) {
            case Expr.Regular(Rx rx) -> rx;
            case Expr.Seq(List<Expr> items) ->
                new Rx.Seq(items.stream().map(this::inlined).toList());
            case Expr.Alt(List<Expr> options) ->
                new Rx.Alt(options.stream().map(this::inlined).toList());
            case Expr.Repeat(Expr item, int min, int max) -> new Rx.Repeat(inlined(item), min, max);
            case Expr.Call(String rule, int line) -> inlined(body(rule));
        };
    }

    private Expr body(String rule) {
        Expr body = rules.byName().get(rule);
        if (body == null) {
            throw new IllegalStateException("unknown rule " + rule);
        }
        return body;
    }

    /** Whether no rule in it can lead to itself. */
    private boolean isRegular(Expr expr) {
        return switch (expr) {
            case Expr.Regular r -> true;
            case Expr.Seq(List<Expr> items) -> items.stream().allMatch(this::isRegular);
            case Expr.Alt(List<Expr> options) -> options.stream().allMatch(this::isRegular);
            case Expr.Repeat(Expr item, int min, int max) -> isRegular(item);
            case Expr.Call(String rule, int line) -> {
                Boolean known = regular.get(rule);
                if (known == null) {
                    regular.put(rule, false);
                    known = isRegular(body(rule));
                    regular.put(rule, known);
                }
                yield known;
            }
        };
    }

    /** Roughly how many nodes it becomes; more than {@link #INLINE_MAX} is as good as infinite. */
    private int size(Expr expr) {
        long size = switch (expr) {
            case Expr.Regular(Rx rx) -> size(rx);
            case Expr.Seq(List<Expr> items) -> sum(items);
            case Expr.Alt(List<Expr> options) -> sum(options);
            case Expr.Repeat(Expr item, int min, int max) -> (long) size(item) * Math.max(1, Math.max(min, max));
            case Expr.Call(String rule, int line) -> size(body(rule));
        };
        return (int) Math.min(size, INLINE_MAX + 1);
    }

    private long sum(List<Expr> exprs) {
        long sum = 0;
        for (Expr each : exprs) {
            sum += size(each);
            if (sum > INLINE_MAX) {
                return sum;
            }
        }
        return sum;
    }

    private static long size(Rx rx) {
        return switch (rx) {
            case Rx.Seq(List<Rx> items) ->
                1 + items.stream().mapToLong(EbnfGrammars::size).sum();
            case Rx.Alt(List<Rx> options) ->
                1 + options.stream().mapToLong(EbnfGrammars::size).sum();
            case Rx.Repeat(Rx item, int min, int max) -> size(item) * Math.max(1, Math.max(min, max));
            default -> 1;
        };
    }

    private void add(Expr expr, int from, int to) {
        switch (expr) {
            case Expr.Regular(Rx rx) -> grammar.terminal(from, terminals.computeIfAbsent(rx, this::terminal), to);
            case Expr.Seq(List<Expr> items) -> {
                int at = from;
                for (Expr item : items) {
                    int then = grammar.node();
                    add(item, at, then);
                    at = then;
                }
                grammar.epsilon(at, to);
            }
            case Expr.Alt(List<Expr> options) -> options.forEach(option -> add(option, from, to));
            case Expr.Repeat repeat -> repeat(repeat, from, to);
            case Expr.Call(String rule, int line) -> grammar.call(from, id(rule), to);
        }
    }

    private ByteDfa terminal(Rx rx) {
        Automaton text = rx.compile(budget);
        return grammar.terminal(ByteEncoding.encode(text, ByteEncoding.Mode.UTF8, budget));
    }

    private void repeat(Expr.Repeat repeat, int from, int to) {
        int at = from;
        for (int i = 0; i < repeat.min(); i++) {
            int then = grammar.node();
            add(repeat.item(), at, then);
            at = then;
        }
        if (repeat.max() < 0) {
            int loop = grammar.node();
            int back = grammar.node();
            grammar.epsilon(at, loop);
            add(repeat.item(), loop, back);
            grammar.epsilon(back, loop);
            grammar.epsilon(loop, to);
            return;
        }
        for (int i = repeat.min(); i < repeat.max(); i++) {
            grammar.epsilon(at, to);
            int then = grammar.node();
            add(repeat.item(), at, then);
            at = then;
        }
        grammar.epsilon(at, to);
    }
}
