package io.millrace.worker.serving;

import com.google.protobuf.ByteString;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Tokenization;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.text.IncrementalDetokenizer;
import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Answers what asks for ids of a text or messages, or for the text of ids, as generation would have them. A text may be longer than the
 * context. Thread-safe.
 */
final class TokenizingPreparer {

    private static final String KIND = "tokenization";
    private static final int IDS_IN_PART = 100_000;
    private static final int CHARS_IN_PART = 200_000;

    private final String model;
    private final Tokenizer tokenizer;
    private final @Nullable PromptRenderer renderer;
    private final int vocabulary;
    private final int maxModelLen;

    /** @param renderer null: the model has no chat template */
    TokenizingPreparer(
            String model, Tokenizer tokenizer, @Nullable PromptRenderer renderer, int vocabulary, int maxModelLen) {
        this.model = model;
        this.tokenizer = tokenizer;
        this.renderer = renderer;
        this.vocabulary = vocabulary;
        this.maxModelLen = maxModelLen;
    }

    static boolean isFor(Submit submit) {
        return submit.getTask() == Submit.Task.TOKENIZE || submit.getTask() == Submit.Task.DETOKENIZE;
    }

    Preparation prepare(Submit submit) {
        try {
            if (submit.getTask() == Submit.Task.TOKENIZE) {
                int[] ids = ids(submit);
                return new Preparation.Answered(
                        ids, KIND, tokens(ids, submit.getTokenizing().getTokenTexts()));
            }
            int[] ids = given(submit);
            return new Preparation.Answered(ids, KIND, text(IncrementalDetokenizer.decode(tokenizer, ids, false)));
        } catch (Refusal r) {
            return new Preparation.Refused(r.status(), r.code(), r.text(), r.param());
        }
    }

    private int[] ids(Submit submit) {
        boolean chat = submit.hasChat();
        if (chat && renderer == null) {
            throw new Refusal(
                    400,
                    "no_chat_template",
                    "messages",
                    "The model " + model + " has no chat template. Send a prompt.");
        }
        String text = renderer != null && chat
                ? renderer.render(submit.getChat(), RequestPreparer.templateMs(submit))
                : submit.getPromptText();
        try {
            return tokenizer.encode(text, submit.getTokenizing().getAddSpecial(), true);
        } catch (MillraceException e) {
            throw Refusal.invalid(chat ? "messages" : "prompt", e.toString());
        }
    }

    private int[] given(Submit submit) {
        int[] ids = submit.getPromptIds().getIdsList().stream()
                .mapToInt(Integer::intValue)
                .toArray();
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabulary) {
                throw Refusal.invalid(
                        "tokens",
                        "tokens[" + i + "] is " + Integer.toUnsignedString(ids[i]) + "; the ids of " + model
                                + " are 0 to " + (vocabulary - 1) + ".");
            }
        }
        return ids;
    }

    private List<ByteString> tokens(int[] ids, boolean texts) {
        List<ByteString> parts = new ArrayList<>();
        int from = 0;
        do {
            int to = Math.min(ids.length, from + IDS_IN_PART);
            Tokenization.Builder part = Tokenization.newBuilder().setMaxModelLen(maxModelLen);
            for (int i = from; i < to; i++) {
                part.addIds(ids[i]);
                if (texts) {
                    part.addTokenTexts(ByteString.copyFrom(tokenizer.bytes(ids[i])));
                }
            }
            parts.add(part.build().toByteString());
            from = to;
        } while (from < ids.length);
        return parts;
    }

    private List<ByteString> text(String text) {
        List<ByteString> parts = new ArrayList<>();
        int from = 0;
        do {
            int to = Math.min(text.length(), from + CHARS_IN_PART);
            if (to < text.length() && Character.isHighSurrogate(text.charAt(to - 1))) {
                to--;
            }
            parts.add(Tokenization.newBuilder()
                    .setMaxModelLen(maxModelLen)
                    .addText(text.substring(from, to))
                    .build()
                    .toByteString());
            from = to;
        } while (from < text.length());
        return parts;
    }
}
