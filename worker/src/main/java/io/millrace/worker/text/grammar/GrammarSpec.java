package io.millrace.worker.text.grammar;

import java.util.List;

/** What the output of a request must be. */
public sealed interface GrammarSpec {

    /**
     * JSON that a schema describes.
     *
     * @param schema as JSON text; its order of properties is the output's
     * @param compact no white space between tokens
     */
    record JsonSchema(String schema, boolean compact) implements GrammarSpec {}

    /** Any JSON object. */
    record JsonObject(boolean compact) implements GrammarSpec {}

    /** A text that the expression matches as a whole. */
    record Regex(String regex) implements GrammarSpec {}

    /** One of these. */
    record Choice(List<String> choices) implements GrammarSpec {
        public Choice {
            choices = List.copyOf(choices);
        }
    }

    /** A text of a grammar, in GBNF or Lark's notation. */
    record Ebnf(String grammar) implements GrammarSpec {}
}
