package io.millrace.worker.text.grammar;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.grammar.automaton.Automaton;
import io.millrace.worker.text.grammar.automaton.Budget;
import io.millrace.worker.text.grammar.automaton.ByteEncoding;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.automaton.RegexParser;
import io.millrace.worker.text.grammar.automaton.Rx;
import io.millrace.worker.text.grammar.ebnf.EbnfGrammars;
import io.millrace.worker.text.grammar.json.JsonGrammars;
import io.millrace.worker.text.grammar.machine.Grammar;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import io.millrace.worker.text.grammar.machine.Lru;
import io.millrace.worker.text.grammar.machine.Masks;
import io.millrace.worker.text.grammar.machine.Vocabulary;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Makes grammars of one model's tokens; keeps those used last. Thread-safe. */
public final class GrammarCompiler {

    private static final int GRAMMARS_KEPT = 64;

    private final Tokenizer tokenizer;
    private final int vocabularySize;
    private final Markers markers;
    private final Lru<GrammarSpec, TokenGrammar> known = new Lru<>(GRAMMARS_KEPT, grammar -> 1);
    private @Nullable Masks masks;

    /** @param vocabularySize ids of the model are below it */
    public GrammarCompiler(Tokenizer tokenizer, int vocabularySize) {
        this.tokenizer = tokenizer;
        this.vocabularySize = vocabularySize;
        this.markers = Markers.of(tokenizer, vocabularySize);
    }

    /**
     * The grammar of what is asked for. Time and memory are bounded.
     *
     * @throws GrammarException when it is malformed, cannot be honoured exactly, cannot be satisfied, or is too large
     */
    public TokenGrammar compile(GrammarSpec spec) {
        TokenGrammar grammar = known.get(spec);
        if (grammar == null) {
            grammar = new TokenGrammar(grammar(spec, markers), masks());
            known.put(spec, grammar);
        }
        return grammar;
    }

    private synchronized Masks masks() {
        if (masks == null) {
            masks = new Masks(Vocabulary.of(tokenizer, vocabularySize, markers.ids()));
        }
        return masks;
    }

    /** The grammar, whatever the tokens. */
    static Grammar grammar(GrammarSpec spec) {
        return grammar(spec, Markers.NONE);
    }

    private static Grammar grammar(GrammarSpec spec, Markers markers) {
        Budget budget = new Budget();
        GrammarBuilder builder = new GrammarBuilder(budget);
        return builder.build(rule(spec, markers, builder, budget));
    }

    private static int rule(GrammarSpec spec, Markers markers, GrammarBuilder builder, Budget budget) {
        return switch (spec) {
            case GrammarSpec.JsonSchema(String schema, boolean compact) ->
                JsonGrammars.schema(schema, compact, builder, budget);
            case GrammarSpec.JsonObject(boolean compact) -> JsonGrammars.object(compact, builder, budget);
            case GrammarSpec.Regex(String regex) -> regular(RegexParser.parse(regex), builder, budget);
            case GrammarSpec.Choice(List<String> choices) -> regular(choice(choices), builder, budget);
            case GrammarSpec.Ebnf(String grammar) -> EbnfGrammars.add(grammar, builder, budget);
            case GrammarSpec.ToolCalls calls -> {
                int content = calls.content() == null || calls.required()
                        ? -1
                        : rule(calls.content(), markers, builder, budget);
                yield new ToolGrammar(calls, content, new TextRules(markers, builder, budget)).add();
            }
            case GrammarSpec.AfterReasoning(ReasoningFormat format, boolean open, GrammarSpec output) -> {
                int rule = rule(output, markers, builder, budget);
                yield new TextRules(markers, builder, budget).afterReasoning(format, open, rule);
            }
        };
    }

    private static Rx choice(List<String> choices) {
        if (choices.isEmpty()) {
            throw GrammarException.invalid("there is nothing to choose from.");
        }
        List<Rx> options = new ArrayList<>();
        for (String choice : choices) {
            if (choice.isEmpty()) {
                throw GrammarException.invalid("a choice is empty.");
            }
            options.add(Rx.literal(choice));
        }
        return new Rx.Alt(options);
    }

    private static int regular(Rx rx, GrammarBuilder builder, Budget budget) {
        Automaton text = ByteEncoding.encode(rx.compile(budget), ByteEncoding.Mode.UTF8, budget);
        int rule = builder.rule("root");
        int end = builder.node();
        builder.end(end);
        builder.terminal(builder.start(rule), builder.terminal(text), end);
        return rule;
    }
}
