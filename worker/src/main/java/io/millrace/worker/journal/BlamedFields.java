package io.millrace.worker.journal;

import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;

/**
 * Names of the fields of one request that a failure of the engine may be about, empty where it has none.
 *
 * @param prompt what holds the prompt
 * @param grammar what says how the output must be
 * @param choice what forbids most tokens
 */
record BlamedFields(String prompt, String grammar, String choice) {

    static final BlamedFields NONE = new BlamedFields("", "", "");

    static BlamedFields of(Submit submit) {
        String grammar = grammar(submit);
        return new BlamedFields(prompt(submit), grammar, choice(submit.getSampling(), grammar));
    }

    private static String prompt(Submit submit) {
        return switch (submit.getInputCase()) {
            case CHAT -> "messages";
            case PROMPT_TEXT, PROMPT_IDS -> "prompt";
            case POOLING -> "input";
            case INPUT_NOT_SET -> "";
        };
    }

    private static String grammar(Submit submit) {
        String named = submit.getSampling().getGrammar().getParam();
        return named.isEmpty() && submit.getChat().hasToolUse() ? "tools" : named;
    }

    /** A list of allowed ids leaves fewer than a grammar does, and that fewer than what only takes single tokens away. */
    private static String choice(Sampling sampling, String grammar) {
        if (sampling.getAllowedTokenIdsCount() > 0) {
            return "allowed_token_ids";
        }
        if (!grammar.isEmpty()) {
            return grammar;
        }
        if (sampling.getLogitBiasCount() > 0) {
            return "logit_bias";
        }
        if (sampling.getBadWordsCount() > 0) {
            return "bad_words";
        }
        return sampling.getMinTokens() > 0 ? "min_tokens" : "";
    }

    /** The field that an error of the engine (docs/errors.md) is about. */
    String of(String code) {
        return switch (code) {
            case "MR-ENGINE-002" -> prompt;
            case "MR-ENGINE-003" -> "n";
            case "MR-GRAMMAR-002" -> grammar;
            case "MR-SAMPLING-002" -> choice;
            default -> "";
        };
    }
}
