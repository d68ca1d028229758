package io.millrace.worker.text.grammar.ebnf;

import io.millrace.worker.text.grammar.automaton.Rx;
import java.util.List;

/** The right side of a rule. */
sealed interface Expr {

    /** Without a rule in it; over code points. */
    record Regular(Rx rx) implements Expr {}

    record Seq(List<Expr> items) implements Expr {}

    record Alt(List<Expr> options) implements Expr {}

    /** @param max -1: no bound */
    record Repeat(Expr item, int min, int max) implements Expr {}

    /** @param line where it stands */
    record Call(String rule, int line) implements Expr {}
}
