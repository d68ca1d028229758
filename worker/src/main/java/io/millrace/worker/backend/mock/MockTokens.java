package io.millrace.worker.backend.mock;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.sampling.SamplingRow;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * The tokens of the mock model: each is a hash of the model's seed and of <em>all</em> ids before it, so one wrong id anywhere in
 * the context, in any place, gives another token.
 *
 * <p>Greedy rows (temperature 0) depend on the ids alone. With a temperature the request's seed, the choice and the position are
 * mixed in, as for a real model. A suppressed id is never given. Ids are 0..vocabulary-1 without {@link #eosId}, except where the
 * text ends: with {@link #endOneIn} = k, one context in k is followed by eos.
 *
 * @param seed the model's
 * @param vocabulary number of ids
 * @param eosId -1: none, texts never end by themselves
 * @param endOneIn mean length of a text; 0: never
 */
public record MockTokens(long seed, int vocabulary, int eosId, int endOneIn) {

    private static final int TRIES = 1000;

    public MockTokens {
        if (vocabulary < 2) {
            throw new IllegalArgumentException("A mock vocabulary has at least 2 ids, not " + vocabulary + ".");
        }
    }

    /** The greedy id after {@code ids}, of a model that never ends. */
    public static int next(long seed, int vocabulary, int... ids) {
        return new MockTokens(seed, vocabulary, -1, 0).next(ids, ids.length);
    }

    /** The greedy id after the first {@code length} of {@code ids}. */
    public int next(int[] ids, int length) {
        return token(context(ids, length), null);
    }

    /** The greedy ids that follow a prompt: {@code count} of them, fewer when eos comes (it is the last then). */
    public int[] greedy(int[] prompt, int count) {
        return follow(prompt, count, 0, 0, false);
    }

    /** As {@link #greedy}, for a request with a temperature: depends on its seed and the choice. */
    public int[] sampled(int[] prompt, int count, long requestSeed, int choice) {
        return follow(prompt, count, requestSeed, choice, true);
    }

    private int[] follow(int[] prompt, int count, long requestSeed, int choice, boolean random) {
        int[] out = new int[count];
        long state = context(prompt, prompt.length);
        for (int i = 0; i < count; i++) {
            long s = random ? mixRequest(state, requestSeed, choice, prompt.length + i) : state;
            out[i] = pick(s, null);
            if (out[i] == eosId) {
                return Arrays.copyOf(out, i + 1);
            }
            state = add(state, out[i]);
        }
        return out;
    }

    /** State before any id. */
    long start() {
        return mix(seed ^ 0x6A09E667F3BCC909L);
    }

    /** State after one more id. */
    long add(long state, int id) {
        return mix(state * 0x9E3779B97F4A7C15L + id + 1);
    }

    /** The id that follows a context, for a row. */
    int token(long state, @Nullable SamplingRow row) {
        if (row == null) {
            return pick(state, null);
        }
        long s = row.params().temperature() == 0 ? state : mixRequest(state, row.seed(), row.choice(), row.position());
        return row.mask() == null
                ? pick(s, row.suppressed())
                : pickAllowed(s, row.suppressed(), row.mask().words());
    }

    /** One of the ids that a mask leaves, each as likely. */
    private int pickAllowed(long state, int[] suppressed, int[] words) {
        int[] allowed = IntStream.range(0, vocabulary)
                .filter(id -> (words[id >> 5] >>> id & 1) == 1 && !contains(suppressed, id))
                .toArray();
        if (allowed.length == 0) {
            throw new MillraceException(
                    "MR-SAMPLING-002", "No id is left: the grammar allows none that is not suppressed. Loosen either.");
        }
        return allowed[(int) Long.remainderUnsigned(mix(state ^ 0x510E527FADE682D1L), allowed.length)];
    }

    /** A logit in [-6, 6) for an id after a context. */
    float logit(long state, int id) {
        return (mix(state + 0x632BE59BD9B4E019L * (id + 1)) >>> 40) * (12f / (1 << 24)) - 6;
    }

    private static long mixRequest(long state, long requestSeed, int choice, int position) {
        return mix(mix(state ^ requestSeed) + ((long) choice << 32) + position);
    }

    private long context(int[] ids, int length) {
        long state = start();
        for (int i = 0; i < length; i++) {
            state = add(state, ids[i]);
        }
        return state;
    }

    private int pick(long state, int @Nullable [] suppressed) {
        long h = mix(state ^ 0x510E527FADE682D1L);
        if (eosId >= 0
                && endOneIn > 0
                && Long.remainderUnsigned(mix(h), endOneIn) == 0
                && !contains(suppressed, eosId)) {
            return eosId;
        }
        for (int i = 0; i < TRIES; i++) {
            int id = (int) Long.remainderUnsigned(h, vocabulary);
            if (id != eosId && !contains(suppressed, id)) {
                return id;
            }
            h = mix(h + i);
        }
        throw new IllegalStateException("The mock found no id that is not suppressed in " + TRIES + " tries.");
    }

    private static boolean contains(int @Nullable [] ids, int id) {
        if (ids != null) {
            for (int i : ids) {
                if (i == id) {
                    return true;
                }
            }
        }
        return false;
    }

    /** SplitMix64's finaliser. */
    private static long mix(long z) {
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }
}
