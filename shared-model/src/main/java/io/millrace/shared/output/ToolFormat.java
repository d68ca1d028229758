package io.millrace.shared.output;

import java.util.Arrays;
import java.util.List;

/** How a model writes calls of functions. The worker binds forced calls to it, the gateway reads them. */
public enum ToolFormat {

    /** Nothing but {@code {"name": …, "arguments": {…}}}, one object a line: told to models whose template has no form of its own. */
    GENERIC("generic", "arguments"),

    /** Qwen and Hermes: {@code <tool_call>{"name": …, "arguments": {…}}</tool_call>}, after any text. */
    HERMES("hermes", "arguments", "<tool_call>", "</tool_call>"),

    /** Llama 3: {@code <|python_tag|>}, or not, then {@code {"name": …, "parameters": {…}}}. */
    LLAMA3_JSON("llama3_json", "parameters", "<|python_tag|>"),

    /** Llama 3.2 and 4: {@code [name(key="value"), …]}. */
    LLAMA3_PYTHONIC("llama3_pythonic", "parameters", "<|python_start|>", "<|python_end|>", "<|python_tag|>"),

    /** Mistral until 2024: {@code [TOOL_CALLS][{"name": …, "arguments": {…}}, …]}. */
    MISTRAL("mistral", "arguments", "[TOOL_CALLS]"),

    /** Mistral since 2025: {@code [TOOL_CALLS]name[ARGS]{…}} for each call. */
    MISTRAL_ARGS("mistral_args", "arguments", "[TOOL_CALLS]", "[ARGS]", "[CALL_ID]");

    private final String text;
    private final String arguments;
    private final List<String> markers;

    ToolFormat(String text, String arguments, String... markers) {
        this.text = text;
        this.arguments = arguments;
        this.markers = List.of(markers);
    }

    /** The name in messages and configuration. */
    public String text() {
        return text;
    }

    /** The field of a call's object that holds the arguments. */
    public String arguments() {
        return arguments;
    }

    /** Texts that stand around calls; where they are control tokens, they are shown all the same. */
    public List<String> markers() {
        return markers;
    }

    public boolean isMistral() {
        return this == MISTRAL || this == MISTRAL_ARGS;
    }

    /** All names. */
    public static List<String> names() {
        return Arrays.stream(values()).map(ToolFormat::text).toList();
    }

    /** The one of that name; {@link #GENERIC} for one that is not known. */
    public static ToolFormat of(String text) {
        for (ToolFormat format : values()) {
            if (format.text.equals(text)) {
                return format;
            }
        }
        return GENERIC;
    }
}
