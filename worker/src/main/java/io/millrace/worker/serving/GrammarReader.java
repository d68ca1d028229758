package io.millrace.worker.serving;

import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Sampling;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.GrammarCompiler;
import io.millrace.worker.text.grammar.GrammarSpec;
import io.millrace.worker.text.grammar.TokenGrammar;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import org.jspecify.annotations.Nullable;

/** Compiles what a request says of its output, or refuses it. Thread-safe. */
final class GrammarReader {

    private final GrammarCompiler compiler;

    GrammarReader(Tokenizer tokenizer, int vocabulary) {
        this.compiler = new GrammarCompiler(tokenizer, vocabulary);
    }

    /** null: any text. */
    @Nullable
    TokenGrammar read(Sampling sampling) {
        OutputGrammar wanted = sampling.getGrammar();
        GrammarSpec spec = switch (wanted.getKindCase()) {
            case JSON_OBJECT -> new GrammarSpec.JsonObject(wanted.getCompact());
            case JSON_SCHEMA -> new GrammarSpec.JsonSchema(wanted.getJsonSchema(), wanted.getCompact());
            case REGEX -> new GrammarSpec.Regex(wanted.getRegex());
            case CHOICE -> new GrammarSpec.Choice(wanted.getChoice().getTextsList());
            case EBNF -> new GrammarSpec.Ebnf(wanted.getEbnf());
            case KIND_NOT_SET -> null;
        };
        if (spec == null) {
            return null;
        }
        try {
            return compiler.compile(spec);
        } catch (GrammarException e) {
            throw refusal(wanted, e);
        }
    }

    private static Refusal refusal(OutputGrammar wanted, GrammarException e) {
        String what = wanted.hasJsonSchema()
                ? "schema"
                : wanted.hasRegex() ? "regex" : wanted.hasChoice() ? "choice" : "grammar";
        String code = switch (e.kind()) {
            case INVALID -> "invalid_" + what;
            case UNSUPPORTED -> "unsupported_" + what;
            case UNSATISFIABLE -> "unsatisfiable_" + what;
            case TOO_LARGE -> what + "_too_large";
        };
        String place = wanted.hasJsonSchema() ? " at #" + e.place() : "";
        return new Refusal(
                400, code, wanted.getParam(), "'" + wanted.getParam() + "' cannot be used" + place + ": " + e.text());
    }
}
