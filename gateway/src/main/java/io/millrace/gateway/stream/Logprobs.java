package io.millrace.gateway.stream;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.TopLogprob;
import java.util.List;

/** Log probabilities in the forms of the two older interfaces. */
final class Logprobs {

    private Logprobs() {}

    /** Entries of {@code logprobs.content} of chat answers. */
    static void chat(JsonText json, List<TokenLogprob> tokens) {
        for (TokenLogprob token : tokens) {
            json.object();
            entry(json, token.getText(), token.getLogprob());
            json.name("top_logprobs").array();
            for (TopLogprob top : token.getTopList()) {
                json.object();
                entry(json, top.getText(), top.getLogprob());
                json.endObject();
            }
            json.endArray().endObject();
        }
    }

    private static void entry(JsonText json, ByteString token, float logprob) {
        json.field("token", token.toStringUtf8()).name("logprob").value(logprob);
        json.name("bytes").array();
        for (int i = 0; i < token.size(); i++) {
            json.value(token.byteAt(i) & 0xff);
        }
        json.endArray();
    }

    /** The {@code logprobs} object of text completions. */
    static String completion(List<TokenLogprob> tokens, List<Integer> offsets) {
        JsonText json = new JsonText().object();
        json.name("text_offset").array();
        offsets.forEach(json::value);
        json.endArray().name("token_logprobs").array();
        for (TokenLogprob token : tokens) {
            if (PromptLogprobs.isFirst(token)) {
                json.value((String) null);
            } else {
                json.value(token.getLogprob());
            }
        }
        json.endArray().name("tokens").array();
        tokens.forEach(token -> json.value(token.getText().toStringUtf8()));
        json.endArray().name("top_logprobs").array();
        for (TokenLogprob token : tokens) {
            if (PromptLogprobs.isFirst(token)) {
                json.value((String) null);
                continue;
            }
            json.object();
            for (TopLogprob top : token.getTopList()) {
                json.name(top.getText().toStringUtf8()).value(top.getLogprob());
            }
            json.endObject();
        }
        return json.endArray().endObject().toString();
    }

    /** Characters (code points) that the token adds to {@code text_offset}. */
    static int length(TokenLogprob token) {
        String text = token.getText().toStringUtf8();
        return text.codePointCount(0, text.length());
    }
}
