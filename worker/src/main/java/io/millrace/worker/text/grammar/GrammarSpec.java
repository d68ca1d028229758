package io.millrace.worker.text.grammar;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import java.util.List;
import org.jspecify.annotations.Nullable;

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

    /**
     * Calls of functions, in a model's own format.
     *
     * @param functions that may be called; at least one
     * @param required at least one call and nothing else; otherwise there may be none
     * @param single at most one call
     * @param content what the output may be instead, or null: any text. Of no meaning where calls are required
     */
    record ToolCalls(
            ToolFormat format,
            List<Function> functions,
            boolean required,
            boolean single,
            @Nullable GrammarSpec content)
            implements GrammarSpec {
        public ToolCalls {
            functions = List.copyOf(functions);
        }
    }

    /**
     * A function.
     *
     * @param parameters JSON schema of its arguments
     * @param strict a schema that cannot be honoured is an error; otherwise it counts as any object
     */
    record Function(String name, String parameters, boolean strict) {}

    /**
     * Reasoning, and then an output.
     *
     * @param open the prompt has begun the reasoning; otherwise it may be missing
     */
    record AfterReasoning(ReasoningFormat format, boolean open, GrammarSpec output) implements GrammarSpec {}
}
