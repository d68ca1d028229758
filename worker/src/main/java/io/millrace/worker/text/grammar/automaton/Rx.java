package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayList;
import java.util.List;

/** A regular expression. Its symbols are code points, or bytes where an automaton over bytes is built. */
public sealed interface Rx {

    Rx EMPTY = new Seq(List.of());
    Rx ANY = new Chars(CharSet.ALL);

    /** One symbol of a set. */
    record Chars(CharSet set) implements Rx {}

    record Seq(List<Rx> items) implements Rx {}

    record Alt(List<Rx> options) implements Rx {}

    /** @param max -1: no bound */
    record Repeat(Rx item, int min, int max) implements Rx {}

    /** Start or end of the text. */
    record Anchor(boolean start) implements Rx {}

    /** What an automaton accepts. */
    record Embedded(Automaton automaton) implements Rx {}

    static Rx seq(Rx... items) {
        return new Seq(List.of(items));
    }

    static Rx alt(Rx... options) {
        return new Alt(List.of(options));
    }

    static Rx optional(Rx item) {
        return new Repeat(item, 0, 1);
    }

    static Rx star(Rx item) {
        return new Repeat(item, 0, -1);
    }

    static Rx literal(String text) {
        List<Rx> items = new ArrayList<>();
        text.codePoints().forEach(c -> items.add(new Chars(CharSet.of(c))));
        return new Seq(List.copyOf(items));
    }

    static Rx range(int first, int last) {
        return new Chars(CharSet.range(first, last));
    }

    static Rx anyOf(String characters) {
        return new Chars(CharSet.of(characters));
    }

    /** The automaton of exactly this. */
    default Automaton compile(Budget budget) {
        Nfa nfa = new Nfa(budget);
        int start = nfa.node();
        int end = nfa.node();
        nfa.add(this, start, end);
        return Determinizer.run(nfa, start, end, budget);
    }

    /** The automaton of all texts that hold a match of this somewhere. */
    default Automaton compileSearch(Budget budget) {
        return seq(star(ANY), this, star(ANY)).compile(budget);
    }
}
