package io.millrace.gateway.api;

import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import tools.jackson.databind.JsonNode;

/** Bodies of {@code /v1/completions}. */
final class CompletionRequests {

    private static final int DEFAULT_MAX_TOKENS = 16;

    private final GrammarFields grammars;
    private final int promptsMax;

    /** @param promptsMax most prompts of one call */
    CompletionRequests(Json json, int promptsMax) {
        this.grammars = new GrammarFields(json);
        this.promptsMax = promptsMax;
    }

    Draft read(Json.Body parsed) {
        Fields body = parsed.fields();
        String model = Common.model(body);
        List<Draft.Prompt> prompts = prompts(body);
        boolean echo = body.bool("echo", false);
        boolean promptOnly = promptOnly(body, echo);
        Sampling.Builder sampling = SamplingFields.read(body, promptOnly ? List.of() : List.of("max_tokens"));
        if (!sampling.hasMaxTokens()) {
            sampling.setMaxTokens(promptOnly ? 1 : DEFAULT_MAX_TOKENS);
        }
        sampling.setEcho(echo);
        body.integer("logprobs", 0, SamplingFields.LOGPROBS_MAX).ifPresent(sampling::setLogprobs);
        SamplingFields.promptLogprobs(body, sampling);
        SamplingFields.specialTokens(body, sampling);
        grammars.read(parsed, sampling);
        if (echo && sampling.hasLogprobs() && !sampling.hasPromptLogprobs()) {
            sampling.setPromptLogprobs(sampling.getLogprobs());
        }
        String suffix = body.string("suffix");
        if (suffix != null && !suffix.isEmpty()) {
            throw body.unsupported("suffix", "'suffix' is not supported by this server.");
        }
        ResponseShape.Builder shape =
                Common.shape(body, ResponseShape.Api.COMPLETIONS).setPromptOnly(promptOnly);
        int choices = choices(body, sampling, shape);
        Submit.Builder submit =
                Submit.newBuilder().setSampling(sampling).setN(choices).setShape(shape);
        Common.read(body, submit);
        if (submit.getStore() && shape.getBest() > 0) {
            throw body.invalid(
                    "best_of", "'best_of' above 'n' does not go with 'store': log probabilities are not kept.");
        }
        OptionalLong seed = Common.seed(body);
        seed.ifPresent(submit::setSeed);
        return new Draft(model, submit.build(), prompts, seed.isPresent());
    }

    /** Choices that are generated: {@code best_of}, which are compared by their log probabilities, or {@code n}. */
    private static int choices(Fields body, Sampling.Builder sampling, ResponseShape.Builder shape) {
        int n = SamplingFields.n(body);
        int bestOf = body.integer("best_of", 1, SamplingFields.N_MAX).orElse(n);
        if (bestOf < n) {
            throw body.invalid("best_of", "'best_of' (%d) is below 'n' (%d).".formatted(bestOf, n));
        }
        if (bestOf == n) {
            return n;
        }
        if (shape.getStream()) {
            throw body.invalid(
                    "best_of",
                    "'best_of' (%d) above 'n' (%d) cannot be streamed: the best is known at the end only."
                            .formatted(bestOf, n));
        }
        shape.setBest(n).setHideLogprobs(!sampling.hasLogprobs());
        sampling.setLogprobs(sampling.getLogprobs());
        return bestOf;
    }

    /** OpenAI's way to score a prompt: it comes back, with nothing behind it. */
    private static boolean promptOnly(Fields body, boolean echo) {
        JsonNode wanted = body.get("max_tokens");
        return echo && wanted != null && wanted.isIntegralNumber() && wanted.asLong(-1) == 0;
    }

    private List<Draft.Prompt> prompts(Fields body) {
        JsonNode prompt = body.get("prompt");
        if (prompt == null) {
            throw body.missing("prompt");
        }
        if (prompt.isString()) {
            return List.of(text(prompt.stringValue()));
        }
        if (!prompt.isArray() || prompt.isEmpty()) {
            throw body.wrong(
                    "prompt", "a string, a list of strings, token ids, or a list of lists of token ids", prompt);
        }
        if (prompt.get(0).isNumber()) {
            return List.of(ids(body.ids("prompt", prompt)));
        }
        if (prompt.size() > promptsMax) {
            throw body.invalid(
                    "prompt", "'prompt' has %,d prompts; at most %,d are taken.".formatted(prompt.size(), promptsMax));
        }
        List<Draft.Prompt> prompts = new ArrayList<>();
        for (int i = 0; i < prompt.size(); i++) {
            JsonNode each = prompt.get(i);
            String place = "prompt[" + i + "]";
            if (each.isString() && prompt.get(0).isString()) {
                prompts.add(text(each.stringValue()));
            } else if (each.isArray() && !each.isEmpty() && prompt.get(0).isArray()) {
                prompts.add(ids(body.ids(place, each)));
            } else {
                throw body.wrong(place, "a string, or a list of token ids, as the first prompt is", each);
            }
        }
        return prompts;
    }

    private static Draft.Prompt text(String text) {
        long bytes = text.getBytes(StandardCharsets.UTF_8).length;
        return new Draft.Prompt(
                Submit.newBuilder().setPromptText(text).build(), List.of(new Draft.Text("", text)), bytes / 4 + 1);
    }

    private static Draft.Prompt ids(List<Integer> ids) {
        return new Draft.Prompt(
                Submit.newBuilder()
                        .setPromptIds(TokenIds.newBuilder().addAllIds(ids))
                        .build(),
                List.of(),
                ids.size());
    }
}
