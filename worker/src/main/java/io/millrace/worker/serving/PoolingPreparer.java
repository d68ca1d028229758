package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingPair;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.PoolingRequest;
import io.millrace.worker.engine.PoolingRequest.Finish;
import io.millrace.worker.engine.PoolingRequest.Input;
import io.millrace.worker.engine.PoolingRequest.Output;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Makes requests ready for a model that pools: tokenizer, special tokens, pairs, limits. Thread-safe. */
final class PoolingPreparer implements Preparer {

    private static final int MAX_INPUTS = 2048;
    private static final int TO_CONTEXT = -1;
    /** No tokenizer's tokens are longer on average. */
    private static final int CHARACTERS_MAX = 256;

    private final String model;
    private final Tokenizer tokenizer;
    private final Framing framing;
    private final TokenizingPreparer tokenizing;
    private final int vocabulary;
    private final int maxTokens;
    private final int width;
    private final boolean head;
    private final boolean sigmoid;

    /**
     * @param maxTokens of an input, special tokens among them
     * @param width values of an embedding
     * @param head the model scores pairs by a head, and gives no embeddings
     * @param sigmoid the head's logit becomes a score between 0 and 1
     */
    PoolingPreparer(
            String model,
            Tokenizer tokenizer,
            int vocabulary,
            int maxTokens,
            int width,
            boolean head,
            boolean sigmoid) {
        this.model = model;
        this.tokenizer = tokenizer;
        this.framing = new Framing(tokenizer);
        this.tokenizing = new TokenizingPreparer(model, tokenizer, null, vocabulary, maxTokens);
        this.vocabulary = vocabulary;
        this.maxTokens = maxTokens;
        this.width = width;
        this.head = head;
        this.sigmoid = sigmoid;
    }

    /** What a client is told that asks a model for what it does not do. */
    static String unsupported(String model, Submit.Task task, String has) {
        return "The model " + model + " does not serve the task " + task.name().toLowerCase(Locale.ROOT)
                + "; its tasks are: " + has + ".";
    }

    @Override
    public Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo) {
        if (TokenizingPreparer.isFor(submit)) {
            return tokenizing.prepare(submit);
        }
        try {
            return new Preparation.Pooled(request(key, submit, solo));
        } catch (Refusal r) {
            return new Preparation.Refused(r.status(), r.code(), r.text(), r.param());
        }
    }

    private PoolingRequest request(String key, Submit submit, boolean solo) {
        boolean score = submit.getTask() == Submit.Task.SCORE;
        if (!score && (head || submit.getTask() != Submit.Task.EMBED)) {
            throw new Refusal(
                    400,
                    "unsupported_task",
                    "model",
                    unsupported(model, submit.getTask(), head ? "score" : "embed, score"));
        }
        PoolingInput given = submit.getPooling();
        if (given.getInputsCount() == 0 || score && given.getPairsCount() == 0) {
            throw Refusal.invalid("input", "The request has no input.");
        }
        int wanted = score ? given.getPairsCount() : given.getInputsCount();
        if (wanted > MAX_INPUTS || given.getInputsCount() > 2 * MAX_INPUTS) {
            throw Refusal.invalid(
                    "input", "The request has " + wanted + " inputs or pairs; at most " + MAX_INPUTS + " work.");
        }
        if (given.getDimensions() < 0 || given.getDimensions() > width) {
            throw Refusal.invalid(
                    "dimensions",
                    "dimensions is " + given.getDimensions() + "; the embeddings of " + model + " have 1 to " + width
                            + ".");
        }
        List<Input> inputs = new ArrayList<>();
        List<Output> outputs = new ArrayList<>();
        int most = most(given);
        if (score && head) {
            pairs(given, most, inputs, outputs);
        } else {
            texts(given, most, inputs, outputs);
        }
        Finish finish = score ? (head ? (sigmoid ? Finish.SIGMOID : Finish.LOGIT) : Finish.COSINE) : Finish.EMBEDDING;
        return new PoolingRequest(
                key,
                inputs,
                outputs,
                finish,
                given.getDimensions(),
                submit.getPriority(),
                submit.getDeadlineMs(),
                solo);
    }

    /** Tokens an input is cut to; more than any has where it is not to be cut. */
    private int most(PoolingInput given) {
        if (!given.hasTruncateTokens()) {
            return Integer.MAX_VALUE;
        }
        int most = given.getTruncateTokens() == TO_CONTEXT ? maxTokens : given.getTruncateTokens();
        if (most <= framing.around() || most > maxTokens) {
            throw Refusal.invalid(
                    "truncate_prompt_tokens",
                    "truncate_prompt_tokens is " + given.getTruncateTokens() + "; it must be " + (framing.around() + 1)
                            + " to " + maxTokens + ", or -1 for the context.");
        }
        return most;
    }

    private void texts(PoolingInput given, int most, List<Input> inputs, List<Output> outputs) {
        for (int i = 0; i < given.getInputsCount(); i++) {
            PoolingText text = given.getInputs(i);
            String place = place(given, i);
            int[] ids = ids(text, place, most);
            Input input = text.hasIds()
                    ? new Input(cut(ids, most), new int[Math.min(ids.length, most)])
                    : framing.text(ids, most);
            check(input, place);
            inputs.add(input);
            if (given.getPairsCount() == 0) {
                outputs.add(new Output(i, i, -1));
            }
        }
        for (int i = 0; i < given.getPairsCount(); i++) {
            PoolingPair pair = given.getPairs(i);
            outputs.add(new Output(i, index(given, pair.getFirst()), index(given, pair.getSecond())));
        }
    }

    private static int[] cut(int[] ids, int most) {
        return ids.length <= most ? ids : Arrays.copyOf(ids, most);
    }

    private void pairs(PoolingInput given, int most, List<Input> inputs, List<Output> outputs) {
        int[][] texts = new int[given.getInputsCount()][];
        for (int i = 0; i < texts.length; i++) {
            texts[i] = ids(given.getInputs(i), place(given, i), most);
        }
        for (int i = 0; i < given.getPairsCount(); i++) {
            PoolingPair pair = given.getPairs(i);
            int second = index(given, pair.getSecond());
            Input input = framing.pair(texts[index(given, pair.getFirst())], texts[second], most);
            check(input, place(given, second));
            outputs.add(new Output(i, inputs.size(), -1));
            inputs.add(input);
        }
    }

    private static int index(PoolingInput given, int index) {
        if (index < 0 || index >= given.getInputsCount()) {
            throw Refusal.invalid("input", "A pair names input " + index + " of " + given.getInputsCount() + ".");
        }
        return index;
    }

    private static String place(PoolingInput given, int index) {
        String field = given.getInputs(index).getField();
        return field.isEmpty() ? "input[" + index + "]" : field;
    }

    private int[] ids(PoolingText text, String place, int most) {
        if (text.hasIds()) {
            return given(text, place);
        }
        if (text.getText().isEmpty()) {
            throw Refusal.invalid(place, "'" + place + "' is empty.");
        }
        // Megabytes that are cut away anyhow are not worth seconds of tokenising.
        String whole = text.getText();
        if (most == Integer.MAX_VALUE && whole.length() > (long) maxTokens * CHARACTERS_MAX) {
            throw tooLong(place, "at least " + whole.length() / CHARACTERS_MAX);
        }
        int[] ids = encode(whole, place);
        for (int id : ids) {
            if (id >= vocabulary) {
                throw Refusal.invalid(
                        place, "'" + place + "' holds a token (id " + id + ") that the model does not know.");
            }
        }
        return ids;
    }

    private int[] encode(String text, String place) {
        try {
            return tokenizer.encode(text, false, true);
        } catch (MillraceException e) {
            throw Refusal.invalid(place, e.toString());
        }
    }

    private int[] given(PoolingText text, String place) {
        int[] ids =
                text.getIds().getIdsList().stream().mapToInt(Integer::intValue).toArray();
        if (ids.length == 0) {
            throw Refusal.invalid(place, "'" + place + "' is empty.");
        }
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= vocabulary) {
                throw Refusal.invalid(
                        place,
                        "The id at index " + i + " of '" + place + "' is " + Integer.toUnsignedString(ids[i])
                                + "; the model's ids are 0 to " + (vocabulary - 1) + ".");
            }
        }
        return ids;
    }

    private void check(Input input, String place) {
        if (input.ids().length == 0) {
            throw Refusal.invalid(place, "'" + place + "' has no tokens.");
        }
        if (input.ids().length > maxTokens) {
            throw tooLong(place, Integer.toString(input.ids().length));
        }
    }

    private Refusal tooLong(String place, String tokens) {
        return new Refusal(
                400,
                "context_length_exceeded",
                place,
                "This model's maximum context length is " + maxTokens + " tokens. However, '" + place + "' has "
                        + tokens + " tokens. Please reduce its length, or set truncate_prompt_tokens.");
    }
}
