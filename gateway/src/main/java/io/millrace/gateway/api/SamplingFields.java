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
    private static final int STOP_CHARACTERS_MAX = 1024;
    private static final int STOP_IDS_MAX = 1024;
    private static final int ALLOWED_MAX = 1 << 18;
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
        allowed(body, out);
        out.setIgnoreEos(body.bool("ignore_eos", false));
        out.setIncludeStopInOutput(body.bool("include_stop_str_in_output", false));
        if (body.has("skip_special_tokens")) {
            out.setSkipSpecialTokens(body.bool("skip_special_tokens", true));
        }
        out.setSpaceSpecialTokens(body.bool("spaces_between_special_tokens", false));
        out.addAllBadWords(texts(body, "bad_words"));
        truncation(body, out);
        refuse(body);
        return out;
    }

    /** Whether the tokenizer's special tokens are added to the prompt. */
    static void specialTokens(Fields body, Sampling.Builder out) {
        if (body.has("add_special_tokens")) {
            out.setAddSpecialTokens(body.bool("add_special_tokens", true));
        }
    }

    private static void truncation(Fields body, Sampling.Builder out) {
        body.integer("truncate_prompt_tokens", -1, Integer.MAX_VALUE).ifPresent(value -> {
            if (value == 0) {
                throw body.invalid(
                        "truncate_prompt_tokens",
                        "'truncate_prompt_tokens' is 0; it must be at least 1, or -1 for what the context holds.");
            }
            out.setTruncatePromptTokens(value);
        });
    }

    /** vLLM's fields that would change the answer, and that this server does not know. */
    private static void refuse(Fields body) {
        if (body.bool("use_beam_search", false)) {
            throw body.unsupported(
                    "use_beam_search", "Beam search is not supported by this server; use 'n', or 'best_of'.");
        }
        if (body.has("logits_processors")) {
            throw body.unsupported("logits_processors", "Logits processors are not accepted by this server.");
        }
    }

    /** {@code prompt_logprobs}: how many of the best at each place of the prompt, beside the token that stands there. */
    static void promptLogprobs(Fields body, Sampling.Builder out) {
        body.integer("prompt_logprobs", 0, LOGPROBS_MAX).ifPresent(out::setPromptLogprobs);
    }

    static int n(Fields body) {
        return body.integer("n", 1, N_MAX).orElse(1);
    }

    private static void stops(Fields body, Sampling.Builder out) {
        out.addAllStop(texts(body, "stop"));
        out.addAllStopTokenIds(ids(body, "stop_token_ids", STOP_IDS_MAX));
    }

    private static void allowed(Fields body, Sampling.Builder out) {
        List<Integer> ids = ids(body, "allowed_token_ids", ALLOWED_MAX);
        if (ids.isEmpty() && body.has("allowed_token_ids")) {
            throw body.invalid("allowed_token_ids", "'allowed_token_ids' is empty, so that no token could be chosen.");
        }
        out.addAllAllowedTokenIds(ids);
    }

    private static List<Integer> ids(Fields body, String name, int countMax) {
        List<Integer> ids = body.ids(name);
        if (ids == null) {
            return List.of();
        }
        if (ids.size() > countMax) {
            throw body.invalid(
                    name, "'%s' has %,d entries; at most %,d are taken.".formatted(name, ids.size(), countMax));
        }
        return ids;
    }

    /** Texts of which none is empty, or longer than anybody means it. */
    private static List<String> texts(Fields body, String name) {
        List<String> texts = body.strings(name, STOPS_MAX);
        for (String text : texts) {
            if (text.isBlank() && (text.isEmpty() || name.equals("bad_words"))) {
                throw body.invalid(name, "'" + name + "' holds an empty string, which stands everywhere.");
            }
            if (text.length() > STOP_CHARACTERS_MAX) {
                throw body.invalid(
                        name,
                        "'%s' holds a string of %,d characters; at most %,d are taken."
                                .formatted(name, text.length(), STOP_CHARACTERS_MAX));
            }
        }
        return texts;
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
