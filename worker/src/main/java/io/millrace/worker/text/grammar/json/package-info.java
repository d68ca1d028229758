/** JSON Schema to a grammar of JSON texts. Imports text.grammar.automaton and text.grammar.machine. */
@NullMarked
package io.millrace.worker.text.grammar.json;

import org.jspecify.annotations.NullMarked;
