package io.millrace.worker.text;

import java.util.List;
import java.util.function.Predicate;

/** Texts of the tokens by which models end a turn or a text. */
public final class EndTexts {

    private static final String MESSAGE_END = "<|end|>";

    private static final List<String> ALL = List.of(
            "<|eot_id|>",
            "<|im_end|>",
            MESSAGE_END,
            "<|eom_id|>",
            "<|return|>",
            "<|call|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<EOT>",
            "_<EOT>",
            "[EOT]",
            "<end_of_utterance>",
            "<\uFF5Cend\u2581of\u2581sentence\uFF5C>");

    private EndTexts() {}

    /**
     * Those that end an answer in a vocabulary. In Harmony's format, which has tokens for the end of an answer and for a call, {@code <|end|>}
     * ends a message of several.
     */
    public static List<String> among(Predicate<String> isToken) {
        boolean harmony = isToken.test("<|return|>") && isToken.test("<|call|>");
        return ALL.stream()
                .filter(isToken)
                .filter(text -> !harmony || !text.equals(MESSAGE_END))
                .toList();
    }
}
