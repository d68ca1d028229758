package io.millrace.router.core;

import io.millrace.shared.id.PrefixHasher;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingPair;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.Submit;

/** What a request will cost, guessed without a tokenizer. */
final class Estimates {

    private static final int BYTES_PER_TOKEN = 4;

    private Estimates() {}

    static long promptTokens(Submit submit) {
        if (submit.hasPromptIds()) {
            return Math.max(1, submit.getPromptIds().getIdsCount());
        }
        if (submit.hasPooling()) {
            return pooled(submit.getPooling());
        }
        long bytes = submit.hasChat()
                ? submit.getChat().getMessagesJson().length()
                        + (long) submit.getChat().getToolsJson().length()
                : submit.getPromptText().length();
        long hashed = (long) submit.getPrefixHashCount() * PrefixHasher.CHUNK_BYTES;
        return Math.max(1, Math.max(bytes, hashed) / BYTES_PER_TOKEN);
    }

    /** A pair costs both of its texts. */
    private static long pooled(PoolingInput pooling) {
        long sum = 0;
        for (PoolingPair pair : pooling.getPairsList()) {
            sum += text(pooling, pair.getFirst()) + text(pooling, pair.getSecond());
        }
        for (int i = 0; pooling.getPairsCount() == 0 && i < pooling.getInputsCount(); i++) {
            sum += text(pooling, i);
        }
        return Math.max(1, sum);
    }

    private static long text(PoolingInput pooling, int index) {
        if (index < 0 || index >= pooling.getInputsCount()) {
            return 0;
        }
        PoolingText text = pooling.getInputs(index);
        return text.hasIds() ? text.getIds().getIdsCount() : text.getText().length() / BYTES_PER_TOKEN + 1;
    }

    /** Tokens of output of all choices: the limit it asks for, or what requests of this model make. */
    static long outputTokens(Submit submit, double usual) {
        if (submit.hasPooling()) {
            return 1;
        }
        double each = submit.getSampling().hasMaxTokens()
                ? Math.min(usual * 4, submit.getSampling().getMaxTokens())
                : usual;
        return Math.max(1, (long) (each * Math.max(1, submit.getN())));
    }
}
