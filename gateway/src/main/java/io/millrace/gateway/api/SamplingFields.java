package io.millrace.gateway.api;

import io.millrace.shared.proto.Sampling;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;

/** The parameters of generation that the interfaces share, with their ranges. */
final class SamplingFields {

    static final int N_MAX = 128;
    static final int STOPS_MAX = 64;
    static final int LOGPROBS_MAX = 20;
    private static final int BIASES_MAX = 1024;
    private static final double TINY = 1e-6;

    private SamplingFields() {}

    /** @param maxTokens names of the field for the most output tokens, the preferred one first */
    static Sampling.Builder read(Fields body, List<String> maxTokens) {
        Sampling.Builder out = Sampling.newBuilder();
        body.number("temperature", 0, 2).ifPresent(out::setTemperature);
        body.number("top_p", 0, 1).ifPresent(value -> out.setTopP(Math.max(value, TINY)));
        body.integer("top_k", -1, Integer.MAX_VALUE).ifPresent(value -> out.setTopK(Math.max(value, 0)));
        body.number("min_p", 0, 1).ifPresent(out::setMinP);
        body.number("typical_p", TINY, 1).ifPresent(out::setTypicalP);
        body.number("presence_penalty", -2, 2).ifPresent(out::setPresencePenalty);
        body.number("frequency_penalty", -2, 2).ifPresent(out::setFrequencyPenalty);
        body.number("repetition_penalty", TINY, 10).ifPresent(out::setRepetitionPenalty);
        for (String name : maxTokens.reversed()) {
            body.integer(name, 1, Integer.MAX_VALUE).ifPresent(out::setMaxTokens);
        }
        body.integer("min_tokens", 0, Integer.MAX_VALUE).ifPresent(out::setMinTokens);
        if (out.hasMaxTokens() && out.getMinTokens() > out.getMaxTokens()) {
            throw body.invalid(
                    "min_tokens",
                    "'min_tokens' (%,d) is above '%s' (%,d)."
                            .formatted(out.getMinTokens(), maxTokens.getFirst(), out.getMaxTokens()));
        }
        stops(body, out);
        bias(body, out);
        out.setIgnoreEos(body.bool("ignore_eos", false));
        out.setIncludeStopInOutput(body.bool("include_stop_str_in_output", false));
        if (body.has("skip_special_tokens")) {
            out.setSkipSpecialTokens(body.bool("skip_special_tokens", true));
        }
        out.addAllBadWords(body.strings("bad_words", STOPS_MAX));
        body.integer("truncate_prompt_tokens", 1, Integer.MAX_VALUE).ifPresent(out::setTruncatePromptTokens);
        return out;
    }

    /** {@code prompt_logprobs}: how many of the best at each place of the prompt, beside the token that stands there. */
    static void promptLogprobs(Fields body, Sampling.Builder out) {
        body.integer("prompt_logprobs", 0, LOGPROBS_MAX).ifPresent(out::setPromptLogprobs);
    }

    static int n(Fields body) {
        int n = body.integer("n", 1, N_MAX).orElse(1);
        int bestOf = body.integer("best_of", 1, N_MAX).orElse(n);
        if (bestOf != n) {
            throw body.unsupported("best_of", "'best_of' other than 'n' is not supported; leave it out.");
        }
        return n;
    }

    private static void stops(Fields body, Sampling.Builder out) {
        List<String> stops = body.strings("stop", STOPS_MAX);
        for (String stop : stops) {
            if (stop.isEmpty()) {
                throw body.invalid("stop", "'stop' holds an empty string; it would end every answer at once.");
            }
        }
        out.addAllStop(stops);
        List<Integer> ids = body.ids("stop_token_ids");
        if (ids != null) {
            out.addAllStopTokenIds(ids);
        }
    }

    private static void bias(Fields body, Sampling.Builder out) {
        JsonNode bias = body.get("logit_bias");
        if (bias == null) {
            return;
        }
        if (!bias.isObject()) {
            throw body.wrong("logit_bias", "an object of token id to number", bias);
        }
        if (bias.size() > BIASES_MAX) {
            throw body.invalid(
                    "logit_bias",
                    "'logit_bias' has %,d entries; at most %,d are taken.".formatted(bias.size(), BIASES_MAX));
        }
        Fields fields = new Fields(bias, body.path("logit_bias"));
        for (Map.Entry<String, JsonNode> each : bias.properties()) {
            int id;
            try {
                id = Integer.parseInt(each.getKey());
            } catch (NumberFormatException e) {
                id = -1;
            }
            if (id < 0) {
                throw body.invalid(
                        "logit_bias", "'logit_bias' has the key '" + each.getKey() + "', which is no token id.");
            }
            int token = id;
            fields.number(each.getKey(), -100, 100).ifPresent(value -> out.putLogitBias(token, (float) value));
        }
    }
}
