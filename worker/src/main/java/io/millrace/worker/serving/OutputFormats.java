package io.millrace.worker.serving;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.worker.text.Tokenizer;
import java.util.List;

/**
 * How a model writes what is not content, as its template and vocabulary show, or as it was configured.
 *
 * @param tools calls of functions
 * @param reasoning its reasoning
 */
public record OutputFormats(ToolFormat tools, ReasoningFormat reasoning) {

    private static final String AUTO = "auto";

    static final OutputFormats PLAIN = new OutputFormats(ToolFormat.GENERIC, ReasoningFormat.NONE);

    /** From the texts of all of a model's templates. */
    static OutputFormats of(TemplateSource source, Tokenizer tokenizer, ModelOptions options) {
        String chat = source.chat() == null ? "" : source.chat();
        String tools = source.tools() == null ? chat : source.tools();
        return new OutputFormats(
                options.toolFormat().equals(AUTO) ? tools(tools) : ToolFormat.of(options.toolFormat()),
                options.reasoningFormat().equals(AUTO)
                        ? reasoning(chat + tools, tokenizer)
                        : ReasoningFormat.of(options.reasoningFormat()));
    }

    /** The format in which a template tells the model to call. */
    static ToolFormat tools(String template) {
        if (template.contains("[TOOL_CALLS]")) {
            return template.contains("[ARGS]") ? ToolFormat.MISTRAL_ARGS : ToolFormat.MISTRAL;
        }
        if (template.contains("<tool_call>")) {
            boolean object = template.contains("\"name");
            boolean other = template.contains("<function=") || template.contains("<arg_key>");
            return object && !other ? ToolFormat.HERMES : ToolFormat.GENERIC;
        }
        if (template.contains("ipython")
                || template.contains("<|python_tag|>")
                || template.contains("<|python_start|>")) {
            boolean pythonic = template.contains("func_name1(") || template.contains("[func_name");
            return pythonic ? ToolFormat.LLAMA3_PYTHONIC : llama(template);
        }
        return ToolFormat.GENERIC;
    }

    private static ToolFormat llama(String template) {
        return template.contains("\"parameters\"") ? ToolFormat.LLAMA3_JSON : ToolFormat.GENERIC;
    }

    private static ReasoningFormat reasoning(String templates, Tokenizer tokenizer) {
        for (ReasoningFormat format : List.of(ReasoningFormat.THINK, ReasoningFormat.MISTRAL)) {
            boolean told = templates.contains(format.open()) || templates.contains(format.close());
            boolean token = tokenizer.id(format.open()) >= 0 && tokenizer.id(format.close()) >= 0;
            if (told || token) {
                return format;
            }
        }
        return ReasoningFormat.NONE;
    }
}
