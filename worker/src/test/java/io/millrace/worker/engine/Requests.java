package io.millrace.worker.engine;

import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.TokenMask;
import io.millrace.worker.text.OutputForm;
import io.millrace.worker.text.grammar.TokenGrammar;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/** Builds executions for tests. */
final class Requests {

    static final SamplingParams RANDOM = new SamplingParams(1, 0, 1, 0, 1, 0, 0, 1, Map.of(), -1);

    private String key = "r";
    private int[] prompt = {1, 2, 3};
    private SamplingParams sampling = SamplingParams.GREEDY;
    private long seed = 1;
    private int n = 1;
    private List<int[]> accepted = List.of();
    private boolean[] ended = {};
    private int maxTokens = 16;
    private int minTokens;
    private int[] stopIds = {};
    private List<String> stops = List.of();
    private boolean includeStop;
    private List<int[]> badWords = List.of();
    private int promptLogprobs = -1;
    private String salt = "";
    private int priority;
    private long deadlineMs;
    private boolean solo;
    private @Nullable TokenGrammar grammar;
    private @Nullable TokenMask allowed;

    static Requests of(String key, int... prompt) {
        Requests r = new Requests();
        r.key = key;
        r.prompt = prompt;
        return r;
    }

    /** {@code count} ids of a vocabulary, a function of the seed. */
    static int[] ids(long seed, int count, int vocabulary) {
        return new Random(seed).ints(count, 0, vocabulary).toArray();
    }

    Requests key(String value) {
        key = value;
        return this;
    }

    Requests sampling(SamplingParams p, long s) {
        sampling = p;
        seed = s;
        return this;
    }

    Requests n(int value) {
        n = value;
        return this;
    }

    Requests accepted(List<int[]> ids) {
        accepted = ids;
        n = ids.size();
        return this;
    }

    Requests ended(boolean... value) {
        ended = value;
        return this;
    }

    Requests maxTokens(int value) {
        maxTokens = value;
        return this;
    }

    Requests minTokens(int value) {
        minTokens = value;
        return this;
    }

    Requests stopIds(int... ids) {
        stopIds = ids;
        return this;
    }

    Requests stops(String... strings) {
        stops = List.of(strings);
        return this;
    }

    Requests includeStop() {
        includeStop = true;
        return this;
    }

    Requests badWords(int[]... words) {
        badWords = List.of(words);
        return this;
    }

    Requests allowed(int vocabulary, Integer... ids) {
        allowed = TokenMask.of(List.of(ids), vocabulary);
        return this;
    }

    Requests promptLogprobs(int k) {
        promptLogprobs = k;
        return this;
    }

    Requests salt(String value) {
        salt = value;
        return this;
    }

    Requests priority(int value) {
        priority = value;
        return this;
    }

    Requests deadlineMs(long value) {
        deadlineMs = value;
        return this;
    }

    Requests solo() {
        solo = true;
        return this;
    }

    Requests grammar(TokenGrammar value) {
        grammar = value;
        return this;
    }

    GenerationRequest build() {
        List<int[]> ids = new ArrayList<>(accepted);
        while (ids.size() < n) {
            ids.add(new int[0]);
        }
        return new GenerationRequest(
                key,
                prompt,
                sampling,
                seed,
                n,
                ids,
                Arrays.copyOf(ended, n),
                maxTokens,
                minTokens,
                stopIds,
                stops,
                includeStop,
                OutputForm.plain(true),
                badWords,
                allowed,
                promptLogprobs,
                salt,
                priority,
                deadlineMs,
                solo,
                grammar);
    }
}
