package io.millrace.shared.output;

import java.util.Arrays;
import java.util.List;

/** How a model writes its reasoning: between two texts, at the beginning of its output. */
public enum ReasoningFormat {
    NONE("none", "", ""),
    /** DeepSeek R1, Qwen 3 and most others. */
    THINK("think", "<think>", "</think>"),
    /** Magistral. */
    MISTRAL("mistral", "[THINK]", "[/THINK]");

    private final String text;
    private final String open;
    private final String close;

    ReasoningFormat(String text, String open, String close) {
        this.text = text;
        this.open = open;
        this.close = close;
    }

    /** The name in messages and configuration. */
    public String text() {
        return text;
    }

    /** What stands before. */
    public String open() {
        return open;
    }

    /** What stands behind. */
    public String close() {
        return close;
    }

    /** Both; none for {@link #NONE}. */
    public List<String> markers() {
        return this == NONE ? List.of() : List.of(open, close);
    }

    /** All names. */
    public static List<String> names() {
        return Arrays.stream(values()).map(ReasoningFormat::text).toList();
    }

    /** The one of that name; {@link #NONE} for one that is not known. */
    public static ReasoningFormat of(String text) {
        for (ReasoningFormat format : values()) {
            if (format.text.equals(text)) {
                return format;
            }
        }
        return NONE;
    }
}
