package io.millrace.router.core;

import io.millrace.shared.id.PrefixHasher;
import io.millrace.shared.proto.Submit;

/** What a request will cost, guessed without a tokenizer. */
final class Estimates {

    private static final int BYTES_PER_TOKEN = 4;

    private Estimates() {}

    static long promptTokens(Submit submit) {
        if (submit.hasPromptIds()) {
            return Math.max(1, submit.getPromptIds().getIdsCount());
        }
        long bytes = submit.hasChat()
                ? submit.getChat().getMessagesJson().length()
                        + (long) submit.getChat().getToolsJson().length()
                : submit.getPromptText().length();
        long hashed = (long) submit.getPrefixHashCount() * PrefixHasher.CHUNK_BYTES;
        return Math.max(1, Math.max(bytes, hashed) / BYTES_PER_TOKEN);
    }

    /** Tokens of output of all choices: the limit it asks for, or what requests of this model make. */
    static long outputTokens(Submit submit, double usual) {
        double each = submit.getSampling().hasMaxTokens()
                ? Math.min(usual * 4, submit.getSampling().getMaxTokens())
                : usual;
        return Math.max(1, (long) (each * Math.max(1, submit.getN())));
    }
}
