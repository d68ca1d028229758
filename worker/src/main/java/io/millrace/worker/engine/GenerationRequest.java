package io.millrace.worker.engine;

import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.TokenMask;
import io.millrace.worker.text.OutputForm;
import io.millrace.worker.text.grammar.TokenGrammar;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One execution for the engine: a tokenised, validated prompt and how to go on from it.
 *
 * @param key names the execution here; unique among those in the engine
 * @param promptIds at least one
 * @param n number of choices, which share the prompt's blocks
 * @param accepted one entry per choice: output ids of earlier attempts, to go on from; empty arrays for a fresh request
 * @param ended one entry per choice: it has ended in an earlier attempt and is not run
 * @param maxTokens output tokens of a choice, in all attempts together; already cut to the context
 * @param minTokens output tokens before eos and stop strings count
 * @param stopIds ids that end a choice (eos ids of the model unless ignored, and the request's)
 * @param stopStrings strings that end a choice
 * @param includeStop the matched stop stays in the text
 * @param form how ids become text
 * @param badWords sequences of ids of which none may be finished
 * @param allowed the only ids that may be chosen; null: all
 * @param promptLogprobs -1 none
 * @param cacheSalt of the prefix cache
 * @param priority larger is preempted later
 * @param deadlineMs wall clock; checked every step
 * @param solo runs alone
 * @param grammar of the output; null: any text
 */
public record GenerationRequest(
        String key,
        int[] promptIds,
        SamplingParams sampling,
        long seed,
        int n,
        List<int[]> accepted,
        boolean[] ended,
        int maxTokens,
        int minTokens,
        int[] stopIds,
        List<String> stopStrings,
        boolean includeStop,
        OutputForm form,
        List<int[]> badWords,
        @Nullable TokenMask allowed,
        int promptLogprobs,
        String cacheSalt,
        int priority,
        long deadlineMs,
        boolean solo,
        @Nullable TokenGrammar grammar) {}
