package io.millrace.gateway.stream;

import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Usage;

/** What every rendering of a call needs to know of its journals so far. Not thread-safe. */
public final class Progress {

    private final Call call;
    private final int n;
    private final int[] promptTokens;
    private final int[] cachedTokens;
    private final int[] outputTokens;
    private final String[] finishReasons;
    private long createdMs;
    private String fingerprint = "";
    private int reasoningTokens;
    private int ended;
    private boolean inexact;

    Progress(Call call) {
        this.call = call;
        this.n = call.n();
        this.promptTokens = new int[call.parts().size()];
        this.cachedTokens = new int[call.parts().size()];
        this.outputTokens = new int[n * call.parts().size()];
        this.finishReasons = new String[outputTokens.length];
        this.createdMs = call.first().getCreatedMs();
    }

    void observe(Accepted accepted) {
        JournalRecord record = accepted.record();
        int prompt = accepted.prompt();
        switch (record.getRecordCase()) {
            case ADMIT -> createdMs = record.getAdmit().getCreatedMs();
            case CLAIM -> claimed(prompt, record.getClaim());
            case TOKENS ->
                outputTokens[index(prompt, record.getTokens().getChoice())] +=
                        record.getTokens().getIdsCount();
            case END -> ended(prompt, record.getEnd());
            default -> {}
        }
    }

    private void claimed(int prompt, Claim claim) {
        if (!claim.getNumericsId().isEmpty()) {
            fingerprint = claim.getNumericsId();
        }
        promptTokens[prompt] = Math.max(promptTokens[prompt], claim.getPromptLength());
        if (claim.getAttempt() == 1) {
            cachedTokens[prompt] = claim.getCachedTokens();
        }
    }

    private void ended(int prompt, End end) {
        Usage usage = end.getUsage();
        promptTokens[prompt] = Math.max(promptTokens[prompt], usage.getPromptTokens());
        cachedTokens[prompt] = Math.max(cachedTokens[prompt], usage.getCachedTokens());
        reasoningTokens += usage.getReasoningTokens();
        finishReasons[index(prompt, end.getChoice())] = end.getFinishReason();
        inexact |= end.getInexact();
        ended++;
    }

    /** Index of the choice in the answer: prompts one after the other. */
    int index(int prompt, int choice) {
        return prompt * n + choice;
    }

    /** Choices of all prompts. */
    public int choices() {
        return outputTokens.length;
    }

    /** Every choice of every prompt has ended. */
    public boolean complete() {
        return ended == outputTokens.length;
    }

    /** Why the choice ended; empty before. */
    public String finishReason(int index) {
        String reason = finishReasons[index];
        if (reason == null) {
            return "";
        }
        return call.shape().getPromptOnly() ? "length" : reason;
    }

    /** Writes {@code stop_reason}: the stop string that matched, the id of the stop token as a number, or null, as vLLM has it. */
    JsonText stopReason(JsonText json, String reason) {
        json.name("stop_reason");
        Sampling sampling = call.first().getSampling();
        boolean string = sampling.getStopList().contains(reason);
        if (!string && !reason.isEmpty() && reason.chars().allMatch(Character::isDigit)) {
            return json.raw(reason);
        }
        return json.value(reason.isEmpty() ? null : reason);
    }

    /** Executions of different numerics took part. */
    boolean inexact() {
        return inexact;
    }

    public int promptTokens() {
        return sum(promptTokens);
    }

    public int outputTokens() {
        return sum(outputTokens);
    }

    int cachedTokens() {
        return sum(cachedTokens);
    }

    int reasoningTokens() {
        return reasoningTokens;
    }

    long createdMs() {
        return createdMs;
    }

    /** {@code id} to {@code system_fingerprint}: how chat and text answers begin. */
    JsonText head(String object) {
        return new JsonText()
                .object()
                .field("id", call.apiId())
                .field("object", object)
                .field("created", createdMs / 1000)
                .field("model", call.first().getModel())
                .field("system_fingerprint", fingerprint.isEmpty() ? null : fingerprint);
    }

    /** OpenAI's {@code usage} object of chat and text answers; each prompt counts once, whatever {@code n}. */
    String usage() {
        int completionTokens = call.shape().getPromptOnly() ? 0 : outputTokens();
        JsonText json = new JsonText()
                .object()
                .field("prompt_tokens", promptTokens())
                .field("completion_tokens", completionTokens)
                .field("total_tokens", promptTokens() + completionTokens)
                .name("prompt_tokens_details")
                .object()
                .field("cached_tokens", cachedTokens())
                .endObject();
        json.name("completion_tokens_details")
                .object()
                .field("reasoning_tokens", reasoningTokens)
                .endObject();
        return json.endObject().toString();
    }

    private static int sum(int[] counts) {
        int sum = 0;
        for (int count : counts) {
            sum += count;
        }
        return sum;
    }
}
