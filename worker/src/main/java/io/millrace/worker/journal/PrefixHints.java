package io.millrace.worker.journal;

import io.millrace.shared.proto.PrefixHint;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;

/**
 * Which text prefixes this worker has computed lately and should still have cached, for one model: for the router's placement, so a
 * guess is good enough. It forgets as the cache does: what was used least lately goes first, of one prompt the end before the
 * beginning. Thread-safe.
 */
final class PrefixHints {

    private static final int KEPT_MAX = 8_192;
    private static final int SENT_MAX = 128;
    private static final int BRANCHES_MAX = 64;

    /** One prefix. */
    private static final class Known {
        /** Of the whole prefix, and of what it adds to the one before. */
        int tokens;

        int own;
        /** Prompts have parted here. */
        boolean branch;
        /** Its prompt's last, or the 1st, 2nd, 4th, 8th and so on. */
        boolean mark;
    }

    /** Least lately used first. */
    private final LinkedHashMap<Long, Known> byHash = new LinkedHashMap<>(64, 0.75f, true);

    private long kept;

    /**
     * A prompt has been computed.
     *
     * @param hashes of its text prefixes, shortest first; the tokens are spread evenly over them
     * @param cacheTokens what the KV cache holds; 0 when that is not known
     */
    synchronized void computed(List<Long> hashes, int promptTokens, long cacheTokens) {
        int last = hashes.size() - 1;
        boolean fresh = true;
        for (int i = last; i >= 0; i--) {
            Known known = byHash.get(hashes.get(i));
            if (known == null) {
                known = new Known();
                byHash.put(hashes.get(i), known);
            } else {
                known.branch |= fresh && i < last;
                fresh = false;
            }
            kept -= known.own;
            // One chunk more than there are hashes: the last, incomplete one has none.
            known.tokens = (int) ((long) promptTokens * (i + 1) / (hashes.size() + 1));
            known.own = promptTokens / (hashes.size() + 1);
            known.mark |= i == last || Integer.bitCount(i + 1) == 1;
            kept += known.own;
        }
        Iterator<Known> eldest = byHash.values().iterator();
        while (eldest.hasNext() && (byHash.size() > KEPT_MAX || (cacheTokens > 0 && kept > cacheTokens))) {
            kept -= eldest.next().own;
            eldest.remove();
        }
    }

    /**
     * What a beat tells: where prompts parted, then of each prompt some lengths, the most recent first. A later prompt that parts in
     * between is then known by at least half of what it shares, and by all of it from the second time on.
     */
    synchronized List<PrefixHint> recent() {
        List<PrefixHint> told = new ArrayList<>(Math.min(SENT_MAX, byHash.size()));
        tell(told, BRANCHES_MAX, known -> known.branch);
        tell(told, SENT_MAX, known -> known.mark && !known.branch);
        return told;
    }

    private void tell(List<PrefixHint> told, int most, Predicate<Known> which) {
        for (Map.Entry<Long, Known> entry : byHash.sequencedEntrySet().reversed()) {
            if (told.size() == most) {
                return;
            }
            if (which.test(entry.getValue())) {
                told.add(PrefixHint.newBuilder()
                        .setHash(entry.getKey())
                        .setTokens(entry.getValue().tokens)
                        .build());
            }
        }
    }
}
