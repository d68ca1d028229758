/**
 * A grammar as a pushdown automaton over bytes, and the tokens of a vocabulary that it allows. Imports text.grammar.automaton and
 * text (the tokenizer's interface).
 */
@NullMarked
package io.millrace.worker.text.grammar.machine;

import org.jspecify.annotations.NullMarked;
