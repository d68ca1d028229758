/** Grammars in GBNF and Lark's notation. Imports text.grammar.automaton and text.grammar.machine. */
@NullMarked
package io.millrace.worker.text.grammar.ebnf;

import org.jspecify.annotations.NullMarked;
