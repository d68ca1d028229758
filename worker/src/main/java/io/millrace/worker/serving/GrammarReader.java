package io.millrace.worker.serving;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.ToolUse;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.FunctionException;
import io.millrace.worker.text.grammar.GrammarCompiler;
import io.millrace.worker.text.grammar.GrammarSpec;
import io.millrace.worker.text.grammar.TokenGrammar;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Compiles what a request says of its output, or refuses it. Thread-safe. */
final class GrammarReader {

    private final GrammarCompiler compiler;

    GrammarReader(Tokenizer tokenizer, int vocabulary) {
        this.compiler = new GrammarCompiler(tokenizer, vocabulary);
    }

    /**
     * Null: any text.
     *
     * @param reasoning whether the prompt has begun the reasoning
     */
    @Nullable
    TokenGrammar read(Submit submit, boolean reasoning) {
        OutputGrammar wanted = submit.getSampling().getGrammar();
        GrammarSpec spec = spec(wanted);
        ToolUse use = submit.getChat().getToolUse();
        if (submit.getChat().hasToolUse()) {
            List<GrammarSpec.Function> functions = FunctionReader.read(submit.getChat());
            boolean strict = functions.stream().anyMatch(GrammarSpec.Function::strict);
            if (use.getRequired() || strict || spec != null) {
                spec = new GrammarSpec.ToolCalls(
                        ToolFormat.of(use.getFormat()), functions, use.getRequired(), use.getSingle(), spec);
            }
        }
        ReasoningFormat format = ReasoningFormat.of(submit.getChat().getReasoningFormat());
        if (spec != null && format != ReasoningFormat.NONE) {
            spec = new GrammarSpec.AfterReasoning(format, reasoning, spec);
        }
        if (spec == null) {
            return null;
        }
        try {
            return compiler.compile(spec);
        } catch (FunctionException e) {
            String param = FunctionReader.place(submit, e.function());
            throw refusal(param, "schema", " at #" + e.schema().place(), e.schema());
        } catch (GrammarException e) {
            throw wanted.getKindCase() == OutputGrammar.KindCase.KIND_NOT_SET
                    ? refusal(tools(submit), "schema", "", e)
                    : refusal(wanted, e);
        }
    }

    /** What may be called: the schema of the only function, or all. */
    private static String tools(Submit submit) {
        ToolUse use = submit.getChat().getToolUse();
        return use.getFunctionsCount() == 1 ? FunctionReader.place(submit, use.getFunctions(0)) : "tools";
    }

    private static @Nullable GrammarSpec spec(OutputGrammar wanted) {
        return switch (wanted.getKindCase()) {
            case JSON_OBJECT -> new GrammarSpec.JsonObject(wanted.getCompact());
            case JSON_SCHEMA -> new GrammarSpec.JsonSchema(wanted.getJsonSchema(), wanted.getCompact());
            case REGEX -> new GrammarSpec.Regex(wanted.getRegex());
            case CHOICE -> new GrammarSpec.Choice(wanted.getChoice().getTextsList());
            case EBNF -> new GrammarSpec.Ebnf(wanted.getEbnf());
            case KIND_NOT_SET -> null;
        };
    }

    private static Refusal refusal(OutputGrammar wanted, GrammarException e) {
        String what = wanted.hasJsonSchema()
                ? "schema"
                : wanted.hasRegex() ? "regex" : wanted.hasChoice() ? "choice" : "grammar";
        String place = wanted.hasJsonSchema() ? " at #" + e.place() : "";
        return refusal(wanted.getParam(), what, place, e);
    }

    private static Refusal refusal(String param, String what, String place, GrammarException e) {
        String code = switch (e.kind()) {
            case INVALID -> "invalid_" + what;
            case UNSUPPORTED -> "unsupported_" + what;
            case UNSATISFIABLE -> "unsatisfiable_" + what;
            case TOO_LARGE -> what + "_too_large";
        };
        return new Refusal(400, code, param, "'" + param + "' cannot be used" + place + ": " + e.text());
    }
}
