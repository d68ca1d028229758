package io.millrace.worker.text.grammar;

import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.text.grammar.automaton.GrammarException;
import io.millrace.worker.text.grammar.json.JsonGrammars;
import io.millrace.worker.text.grammar.machine.GrammarBuilder;
import java.util.List;

/** The rule of an output that may or must call functions. Not thread-safe. */
final class ToolGrammar {

    private final GrammarSpec.ToolCalls calls;
    private final int content;
    private final TextRules text;
    private final GrammarBuilder builder;

    /** @param content rule of what the output may be instead of calls; -1: any text */
    ToolGrammar(GrammarSpec.ToolCalls calls, int content, TextRules text) {
        this.calls = calls;
        this.content = content;
        this.text = text;
        this.builder = text.builder();
    }

    /** Adds it; throws {@link FunctionException} for a function whose schema cannot be honoured. */
    int add() {
        int rule = builder.rule("calls");
        int begin = builder.start(rule);
        int end = builder.node();
        builder.end(end);
        int first = begin;
        if (!calls.required()) {
            if (content >= 0) {
                builder.call(begin, content, end);
            } else {
                int said = content(begin);
                builder.epsilon(said, end);
                first = isMarked() ? said : begin;
            }
        }
        calls(first, end);
        return rule;
    }

    private boolean isMarked() {
        return calls.format() == ToolFormat.HERMES || calls.format().isMistral();
    }

    /** Text that is read as content, all of it. */
    private int content(int from) {
        return switch (calls.format()) {
            case HERMES -> text.without(from, List.of("<tool_call>"));
            case MISTRAL, MISTRAL_ARGS -> text.without(from, List.of("[TOOL_CALLS]"));
            case GENERIC -> text.notBeginningWith(from, List.of("{", "[", "`"));
            case LLAMA3_JSON, LLAMA3_PYTHONIC -> text.notBeginningWith(from, List.of("{", "[", "<|python_"));
        };
    }

    private void calls(int from, int end) {
        switch (calls.format()) {
            case HERMES -> {
                int object = text.text(text.marker(from, "<tool_call>"), "\n");
                int last = text.marker(text.text(objects(object), "\n"), "</tool_call>");
                builder.epsilon(last, end);
                again(last, "\n", from);
            }
            case MISTRAL -> {
                int object = text.text(text.marker(from, "[TOOL_CALLS]"), "[");
                int last = objects(object);
                builder.epsilon(text.text(last, "]"), end);
                again(last, ", ", object);
            }
            case MISTRAL_ARGS -> {
                int last = named(text.marker(from, "[TOOL_CALLS]"));
                builder.epsilon(last, end);
                if (!calls.single()) {
                    builder.epsilon(last, from);
                }
            }
            case GENERIC, LLAMA3_JSON, LLAMA3_PYTHONIC -> {
                int object = builder.node();
                builder.epsilon(from, object);
                int last = objects(object);
                builder.epsilon(last, end);
                again(last, calls.format() == ToolFormat.GENERIC ? "\n" : "; ", object);
            }
        }
    }

    private void again(int last, String between, int first) {
        if (!calls.single()) {
            builder.epsilon(text.text(last, between), first);
        }
    }

    /** A call as an object. */
    private int objects(int from) {
        int name = text.text(from, "{\"name\": \"");
        int last = builder.node();
        for (int i = 0; i < calls.functions().size(); i++) {
            String head =
                    calls.functions().get(i).name() + "\", \"" + calls.format().arguments() + "\": ";
            builder.call(text.text(name, head), arguments(i), last);
        }
        return text.text(last, "}");
    }

    /** A call as a name and its arguments. */
    private int named(int from) {
        int last = builder.node();
        for (int i = 0; i < calls.functions().size(); i++) {
            int head = text.marker(text.text(from, calls.functions().get(i).name()), "[ARGS]");
            builder.call(head, arguments(i), last);
        }
        return last;
    }

    private int arguments(int index) {
        GrammarSpec.Function function = calls.functions().get(index);
        try {
            return JsonGrammars.schema(function.parameters(), false, builder, text.budget());
        } catch (GrammarException e) {
            boolean anyObject = !function.strict()
                    && e.kind() != GrammarException.Kind.INVALID
                    && e.kind() != GrammarException.Kind.UNSATISFIABLE;
            if (anyObject) {
                return JsonGrammars.object(false, builder, text.budget());
            }
            throw new FunctionException(function.name(), e);
        }
    }
}
