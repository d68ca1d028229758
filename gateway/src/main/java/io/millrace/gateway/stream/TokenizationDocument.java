package io.millrace.gateway.stream;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.proto.ResponseShape.Api;
import io.millrace.shared.proto.Tokenization;

/** Ids of a text and texts of ids in vLLM's form, and Anthropic's count of tokens: one event, at the end. */
final class TokenizationDocument implements Renderer {

    private final Call call;
    private final Progress progress;
    private ByteString data = ByteString.EMPTY;

    TokenizationDocument(Call call) {
        this.call = call;
        this.progress = new Progress(call);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        if (accepted.record().hasOutput()) {
            data = data.concat(accepted.record().getOutput().getData());
        } else if (accepted.record().hasEnd()) {
            out.event(accepted.offset(), null, document());
        }
    }

    private String document() {
        Tokenization found;
        try {
            found = Tokenization.parseFrom(data);
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException("the journal's tokenization is malformed", e);
        }
        JsonText json = new JsonText().object();
        if (call.shape().getApi() == Api.DETOKENIZE) {
            return json.field("prompt", String.join("", found.getTextList()))
                    .endObject()
                    .toString();
        }
        if (call.shape().getApi() == Api.COUNT_TOKENS) {
            return json.field("input_tokens", found.getIdsCount()).endObject().toString();
        }
        json.field("count", found.getIdsCount())
                .field("max_model_len", found.getMaxModelLen())
                .name("tokens")
                .array();
        found.getIdsList().forEach(id -> json.value(id));
        json.endArray().name("token_strs");
        if (call.first().getTokenizing().getTokenTexts()) {
            json.array();
            found.getTokenTextsList().forEach(text -> json.value(text.toStringUtf8()));
            json.endArray();
        } else {
            json.value((String) null);
        }
        return json.endObject().toString();
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.json());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
