package io.millrace.gateway.stream;

import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.TokenLogprob;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** OpenAI's {@code response} object at a moment of its life, and its items. Not thread-safe. */
final class ResponseObject {

    private final Call call;
    private final Progress progress;

    ResponseObject(Call call, Progress progress) {
        this.call = call;
        this.progress = progress;
    }

    /**
     * @param status {@code queued}, {@code in_progress}, {@code completed}, {@code incomplete}, {@code cancelled} or {@code failed}
     * @param items of the output as JSON, one after the other; null before there are any
     * @param incomplete why it is incomplete
     */
    String json(String status, @Nullable String items, @Nullable ApiError error, @Nullable String incomplete) {
        Sampling sampling = call.first().getSampling();
        JsonText json = new JsonText()
                .object()
                .field("id", call.apiId())
                .field("object", "response")
                .field("created_at", progress.createdMs() / 1000)
                .field("status", status)
                .field("background", call.first().getBackground());
        json.name("error");
        if (error == null) {
            json.value((String) null);
        } else {
            json.object()
                    .field("code", error.code())
                    .field("message", error.message())
                    .endObject();
        }
        json.name("incomplete_details");
        if (incomplete == null) {
            json.value((String) null);
        } else {
            json.object().field("reason", incomplete).endObject();
        }
        json.name("max_output_tokens");
        if (sampling.hasMaxTokens()) {
            json.value(sampling.getMaxTokens());
        } else {
            json.value((String) null);
        }
        json.field("model", call.first().getModel()).name("output").array();
        if (items != null) {
            json.raw(items);
        }
        json.endArray();
        json.name("temperature").raw(number(sampling.hasTemperature() ? sampling.getTemperature() : 1.0));
        json.name("top_p").raw(number(sampling.hasTopP() ? sampling.getTopP() : 1.0));
        extra(json);
        json.field("store", call.first().getStore()).name("usage");
        json.raw("in_progress".equals(status) || "queued".equals(status) ? "null" : usage());
        return json.endObject().toString();
    }

    /** Fields of the request that the object repeats: prepared by the endpoint, as the inside of a JSON object. */
    private void extra(JsonText json) {
        String extra = call.shape().getExtraJson();
        if (extra.length() > 2) {
            json.raw(extra.substring(1, extra.length() - 1));
        }
    }

    private String usage() {
        JsonText json = new JsonText().object().field("input_tokens", progress.promptTokens());
        json.name("input_tokens_details")
                .object()
                .field("cached_tokens", progress.cachedTokens())
                .field("cache_write_tokens", 0)
                .endObject();
        json.field("output_tokens", progress.outputTokens());
        json.name("output_tokens_details")
                .object()
                .field("reasoning_tokens", progress.reasoningTokens())
                .endObject();
        return json.field("total_tokens", (long) progress.promptTokens() + progress.outputTokens())
                .endObject()
                .toString();
    }

    /** Field {@code logprobs} of a text; empty when none were asked for. */
    static JsonText logprobs(JsonText json, List<TokenLogprob> logprobs) {
        json.name("logprobs").array();
        Logprobs.chat(json, logprobs);
        return json.endArray();
    }

    /** {@code max_output_tokens} when the length limit ended the answer; null when it is complete. */
    static @Nullable String incomplete(String finishReason) {
        return "length".equals(finishReason) ? "max_output_tokens" : null;
    }

    private static String number(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1e15
                ? Long.toString((long) value)
                : Double.toString(value);
    }
}
