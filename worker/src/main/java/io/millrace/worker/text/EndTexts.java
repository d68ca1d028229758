package io.millrace.worker.text;

import java.util.List;

/** Texts of the tokens by which models end a turn or a text. */
public final class EndTexts {

    public static final List<String> ALL = List.of(
            "<|eot_id|>",
            "<|im_end|>",
            "<|end|>",
            "<|eom_id|>",
            "<|return|>",
            "<|call|>",
            "<end_of_turn>",
            "<|endoftext|>",
            "<|end_of_text|>",
            "<EOT>",
            "<\uFF5Cend\u2581of\u2581sentence\uFF5C>");

    private EndTexts() {}
}
