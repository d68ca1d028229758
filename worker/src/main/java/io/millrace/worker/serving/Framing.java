package io.millrace.worker.serving;

import io.millrace.worker.engine.PoolingRequest.Input;
import io.millrace.worker.text.PairFrame;
import io.millrace.worker.text.Tokenizer;
import java.util.Arrays;

/**
 * Puts a model's special tokens around texts and pairs, and cuts what is too long between them. Learned once from the tokenizer.
 * Immutable.
 */
final class Framing {

    private final int[] before;
    private final int[] after;
    private final PairFrame pair;

    Framing(Tokenizer tokenizer) {
        int[] full = tokenizer.encode("a", true, true);
        int[] bare = tokenizer.encode("a", false, true);
        int at = find(full, bare);
        before = Arrays.copyOf(full, at);
        after = Arrays.copyOfRange(full, Math.min(full.length, at + bare.length), full.length);
        PairFrame own = tokenizer.pairFrame();
        pair = own == null ? new PairFrame(before, new int[0], after, false) : own;
    }

    /** Where the bare ids stand; 0 when nowhere. */
    private static int find(int[] full, int[] bare) {
        for (int at = 0; at + bare.length <= full.length; at++) {
            if (Arrays.equals(full, at, at + bare.length, bare, 0, bare.length)) {
                return at;
            }
        }
        return 0;
    }

    /** Special tokens of a text. */
    int around() {
        return before.length + after.length;
    }

    /** A text of at most {@code most} tokens with what stands around it. */
    Input text(int[] ids, int most) {
        int kept = Math.max(0, Math.min(ids.length, most - around()));
        int[] all = join(before, ids, kept, after, new int[0], 0, new int[0]);
        return new Input(all, new int[all.length]);
    }

    /** A pair of at most {@code most} tokens; the second text is cut first. */
    Input pair(int[] first, int[] second, int most) {
        int room = Math.max(0, most - pair.before().length - pair.between().length - pair.after().length);
        int keptFirst = Math.min(first.length, room);
        int keptSecond = Math.min(second.length, room - keptFirst);
        int[] all = join(pair.before(), first, keptFirst, pair.between(), second, keptSecond, pair.after());
        int[] types = new int[all.length];
        if (pair.segments()) {
            Arrays.fill(types, pair.before().length + keptFirst + pair.between().length, all.length, 1);
        }
        return new Input(all, types);
    }

    private static int[] join(int[] a, int[] b, int ofB, int[] c, int[] d, int ofD, int[] e) {
        int[] all = new int[a.length + ofB + c.length + ofD + e.length];
        int at = 0;
        System.arraycopy(a, 0, all, at, a.length);
        at += a.length;
        System.arraycopy(b, 0, all, at, ofB);
        at += ofB;
        System.arraycopy(c, 0, all, at, c.length);
        at += c.length;
        System.arraycopy(d, 0, all, at, ofD);
        at += ofD;
        System.arraycopy(e, 0, all, at, e.length);
        return all;
    }
}
