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

    /** Bytes of the prompt's text; 0 when it is none, but ids or texts to pool. */
    static long promptBytes(Submit submit) {
        if (submit.hasPromptIds() || submit.hasPooling()) {
            return 0;
        }
        long bytes = submit.hasChat()
                ? submit.getChat().getMessagesJson().length()
                        + (long) submit.getChat().getToolsJson().length()
                : submit.getPromptText().length();
        return Math.max(bytes, (long) submit.getPrefixHashCount() * PrefixHasher.CHUNK_BYTES);
    }

    /** Tokens of the prompt, when so many bytes of text are one. */
    static long promptTokens(Submit submit, double bytesPerToken) {
        if (submit.hasPromptIds()) {
            return Math.max(1, submit.getPromptIds().getIdsCount());
        }
        if (submit.hasPooling()) {
            return pooled(submit.getPooling());
        }
        return Math.max(1, (long) (promptBytes(submit) / bytesPerToken));
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
