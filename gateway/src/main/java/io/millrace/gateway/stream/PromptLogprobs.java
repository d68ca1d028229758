package io.millrace.gateway.stream;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.TopLogprob;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Log probabilities of the prompts' tokens (OUTPUT "prompt_logprobs": a {@link Tokens}), in vLLM's form
 * {@code prompt_logprobs} (https://docs.vllm.ai/en/latest/api/vllm/logprobs/): a list with, for each token, null for the first
 * one, then an object of token id to {@code logprob}, {@code rank} and {@code decoded_token}. Not thread-safe.
 */
final class PromptLogprobs {

    private final @Nullable ByteString[] data;
    private final Map<Integer, List<TokenLogprob>> tokens = new HashMap<>();

    PromptLogprobs(Call call) {
        this.data = new ByteString[call.parts().size()];
    }

    /** Throws IllegalStateException when the worker wrote something else. */
    void observe(Accepted accepted) {
        if (!accepted.record().hasOutput()) {
            return;
        }
        Output output = accepted.record().getOutput();
        if (!"prompt_logprobs".equals(output.getKind())) {
            return;
        }
        int prompt = accepted.prompt();
        ByteString before = data[prompt];
        ByteString all = before == null ? output.getData() : before.concat(output.getData());
        data[prompt] = all;
        if (output.getLast()) {
            try {
                tokens.put(prompt, Tokens.parseFrom(all).getLogprobsList());
            } catch (InvalidProtocolBufferException e) {
                throw new IllegalStateException("a journal's prompt log probabilities are malformed", e);
            }
        }
    }

    /** Tokens of the prompt; empty when they were not asked for. */
    List<TokenLogprob> of(int prompt) {
        return tokens.getOrDefault(prompt, List.of());
    }

    /** Adds the field, if the prompt's were asked for. */
    JsonText write(JsonText json, int prompt) {
        List<TokenLogprob> all = of(prompt);
        if (all.isEmpty()) {
            return json;
        }
        json.name("prompt_logprobs").array();
        for (TokenLogprob token : all) {
            if (isFirst(token)) {
                json.value((String) null);
            } else {
                json.object();
                entries(json, token);
                json.endObject();
            }
        }
        return json.endArray();
    }

    /** Nothing stands before the first token, so it has no probability. */
    static boolean isFirst(TokenLogprob token) {
        return Float.isNaN(token.getLogprob()) && token.getTopCount() == 0;
    }

    /** The token that stands there first, with its rank where it is among the best; then the others of the best. */
    private static void entries(JsonText json, TokenLogprob token) {
        int rank = 0;
        for (int i = 0; i < token.getTopCount(); i++) {
            if (token.getTop(i).getId() == token.getId()) {
                rank = i + 1;
            }
        }
        entry(json, token.getId(), token.getLogprob(), rank, token.getText());
        for (int i = 0; i < token.getTopCount(); i++) {
            TopLogprob top = token.getTop(i);
            if (i + 1 != rank) {
                entry(json, top.getId(), top.getLogprob(), i + 1, top.getText());
            }
        }
    }

    private static void entry(JsonText json, int id, float logprob, int rank, ByteString text) {
        json.name(Integer.toUnsignedString(id)).object().name("logprob").value(logprob);
        if (rank > 0) {
            json.field("rank", rank);
        } else {
            json.nothing("rank");
        }
        json.field("decoded_token", text.toStringUtf8()).endObject();
    }

    /**
     * Where each token begins in the prompt's text, in code points. A token that does not stand in the text, as one that only
     * begins the sequence, begins where the next one does.
     */
    static List<Integer> offsets(List<TokenLogprob> tokens, String prompt) {
        ByteString text = ByteString.copyFromUtf8(prompt);
        List<Integer> offsets = new ArrayList<>();
        int at = 0;
        int characters = 0;
        for (TokenLogprob token : tokens) {
            offsets.add(characters);
            int length = matched(text, at, token.getText());
            for (int i = at; i < at + length; i++) {
                if ((text.byteAt(i) & 0xc0) != 0x80) {
                    characters++;
                }
            }
            at += length;
        }
        return offsets;
    }

    /** Bytes of the text at that place which are the token's; its leading space may be the tokenizer's own. */
    private static int matched(ByteString text, int at, ByteString token) {
        ByteString rest = text.substring(at);
        if (rest.startsWith(token)) {
            return token.size();
        }
        boolean spaced = !token.isEmpty() && token.byteAt(0) == ' ' && rest.startsWith(token.substring(1));
        return spaced ? token.size() - 1 : 0;
    }
}
