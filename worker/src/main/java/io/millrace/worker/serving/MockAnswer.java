package io.millrace.worker.serving;

import io.millrace.worker.backend.mock.MockTokenizer;
import io.millrace.worker.backend.mock.MockTokens;
import io.millrace.worker.text.IncrementalDetokenizer;
import java.util.Arrays;

/**
 * What a mock model answers to a plain prompt when it ignores its end, computed without an engine: for those who compare what was
 * delivered with what it had to be.
 *
 * @param ids of the answer
 * @param text of these ids, without control tokens
 */
public record MockAnswer(int[] ids, String text) {

    /** Of temperature 0. */
    public static MockAnswer greedy(String weights, String prompt, int count) {
        MockTokens tokens = MockModels.tokens(weights);
        return follow(prompt, count, tokens::greedy);
    }

    /** Of the first choice at any other temperature. */
    public static MockAnswer sampled(String weights, String prompt, int count, long seed) {
        MockTokens tokens = MockModels.tokens(weights);
        return follow(prompt, count, (context, most) -> tokens.sampled(context, most, seed, 0));
    }

    /** What comes after a context: so many ids, fewer when the last one is the end. */
    private interface Continuation {
        int[] after(int[] context, int count);
    }

    /** Goes on after each end. */
    private static MockAnswer follow(String prompt, int count, Continuation model) {
        int[] begin = new MockTokenizer(MockModels.VOCABULARY).encode(prompt, true, false);
        int[] all = begin;
        while (all.length < begin.length + count) {
            int[] more = model.after(all, begin.length + count - all.length);
            int[] longer = Arrays.copyOf(all, all.length + more.length);
            System.arraycopy(more, 0, longer, all.length, more.length);
            all = longer;
        }
        return of(Arrays.copyOfRange(all, begin.length, all.length));
    }

    /** The text as a worker makes it: Java's own decoder writes fewer U+FFFD for a broken surrogate. */
    static MockAnswer of(int... ids) {
        return new MockAnswer(ids, IncrementalDetokenizer.decode(new MockTokenizer(MockModels.VOCABULARY), ids, true));
    }
}
