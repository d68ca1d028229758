/** Regular languages: character sets, expressions, deterministic automata over code points and over bytes. Imports nothing of ours. */
@NullMarked
package io.millrace.worker.text.grammar.automaton;

import org.jspecify.annotations.NullMarked;
