package io.millrace.gateway.api;

import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.shared.id.PrefixHasher;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TraceContext;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Makes drafts into calls: ids, time, seed, deadline, and what routers place by. Thread-safe. */
final class CallFactory {

    private static final int PREFIX_CHUNKS_MAX = 256;
    private static final int GUESSED_OUTPUT = 256;

    private final SecureRandom random = new SecureRandom();
    private final String node;
    private final Clock clock;
    private final Duration deadline;

    /** @param deadline of every request, from its arrival */
    CallFactory(String node, Clock clock, Duration deadline) {
        this.node = node;
        this.clock = clock;
        this.deadline = deadline;
    }

    /** Tokens that the draft may cost, prompt and output of all its prompts. */
    static long estimate(Draft draft) {
        long sum = 0;
        for (Draft.Prompt prompt : draft.prompts()) {
            sum += estimate(draft, prompt);
        }
        return sum;
    }

    private static long estimate(Draft draft, Draft.Prompt prompt) {
        if (prompt.input().hasPooling() || draft.submit().hasTokenizing()) {
            return prompt.units();
        }
        Sampling sampling = draft.submit().getSampling();
        long output = sampling.hasMaxTokens() ? sampling.getMaxTokens() : GUESSED_OUTPUT;
        return prompt.units()
                + Math.min(output, 1_000_000) * Math.max(1, draft.submit().getN());
    }

    /** Throws 400 when the limits of the model already say that the draft cannot be answered. */
    static void check(Draft draft, ModelState model) {
        Submit.Task task = draft.submit().getTask();
        if (draft.submit().hasTokenizing()) {
            // Every model does, of any length.
            return;
        }
        if (!model.tasks().isEmpty() && !model.tasks().contains(task)) {
            throw new ApiException(ApiError.of(
                    400,
                    "unsupported_task",
                    "model",
                    "The model '%s' does not serve the task %s; its tasks are: %s."
                            .formatted(model.name(), Models.name(task), Models.names(model.tasks()))));
        }
        int length = model.maxModelLen();
        Sampling sampling = draft.submit().getSampling();
        if (length > 0 && sampling.hasMaxTokens() && sampling.getMaxTokens() > length) {
            boolean response = draft.submit().getShape().getApi() == ResponseShape.Api.RESPONSES;
            String field = response ? "max_output_tokens" : "max_tokens";
            throw new ApiException(ApiError.of(
                    400,
                    "context_length_exceeded",
                    field,
                    "%,d output tokens are asked for; '%s' holds %,d with the prompt. Lower %s."
                            .formatted(sampling.getMaxTokens(), model.name(), length, field)));
        }
        for (Draft.Prompt prompt : draft.prompts()) {
            int ids = prompt.input().getPromptIds().getIdsCount();
            if (length > 0 && ids >= length && !sampling.hasTruncatePromptTokens()) {
                throw new ApiException(ApiError.of(
                        400,
                        "context_length_exceeded",
                        "prompt",
                        "The prompt has %,d tokens; '%s' holds %,d with the output. Shorten it."
                                .formatted(ids, model.name(), length)));
            }
        }
    }

    Call create(Draft draft, String tenant, ModelState model, int partition, TraceContext trace) {
        long now = clock.wallMs();
        String key = draft.submit().getIdempotencyKey();
        RequestId first = key.isEmpty() ? RequestId.random(partition) : IdempotencyKeys.id(key, partition);
        List<Call.Part> parts = new ArrayList<>();
        for (int i = 0; i < draft.prompts().size(); i++) {
            Draft.Prompt prompt = draft.prompts().get(i);
            Submit.Builder submit = draft.submit().toBuilder();
            submit.mergeFrom(prompt.input())
                    .setTenant(tenant)
                    .setModel(model.name())
                    .setCreatedMs(now)
                    .setDeadlineMs(now + deadline.toMillis())
                    .setEstimatedTokens(estimate(draft, prompt))
                    .setGateway(node)
                    .setTrace(trace)
                    .setCacheSalt(salt(tenant, draft.submit().getCacheSalt()));
            submit.getShapeBuilder().setPrompts(draft.prompts().size());
            formats(submit, model);
            if (!draft.seeded()) {
                submit.setSeed(random.nextLong());
            }
            submit.addAllPrefixHash(prefix(model.name(), submit.getCacheSalt(), prompt));
            parts.add(new Call.Part(i == 0 ? first : Call.sibling(first, i), submit.build()));
        }
        return new Call(parts);
    }

    /** How the model writes what is not content: stands in the request, so that all who read the output read it alike. */
    private static void formats(Submit.Builder submit, ModelState model) {
        if (submit.hasChat()) {
            submit.getChatBuilder().setReasoningFormat(model.reasoningFormat());
            if (submit.getChat().hasToolUse()) {
                submit.getChatBuilder().getToolUseBuilder().setFormat(model.toolFormat());
            }
        }
    }

    private static String salt(String tenant, String wanted) {
        return wanted.isEmpty() ? tenant : tenant + "/" + wanted;
    }

    private static List<Long> prefix(String model, String salt, Draft.Prompt prompt) {
        var hasher = new PrefixHasher(model, "", salt, PREFIX_CHUNKS_MAX);
        prompt.texts().forEach(text -> hasher.add(text.role(), text.text()));
        return hasher.hashes();
    }
}
