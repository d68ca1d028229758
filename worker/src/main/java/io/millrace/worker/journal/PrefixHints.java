package io.millrace.worker.journal;

import io.millrace.shared.proto.PrefixHint;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Which text prefixes this worker has computed lately, per model: for the router's placement, so a guess is good enough. An entry
 * maps the hash of a text prefix to the tokens it came to. Thread-safe.
 */
final class PrefixHints {

    private static final int KEPT_MAX = 1_024;
    private static final int SENT_MAX = 128;

    private final LinkedHashMap<Long, Integer> tokens = new LinkedHashMap<>(64, 0.75f, true) {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Long, Integer> eldest) {
            return size() > KEPT_MAX;
        }
    };

    /**
     * A prompt has been computed.
     *
     * @param hashes of its text prefixes, shortest first; the tokens are spread evenly over them
     */
    synchronized void computed(List<Long> hashes, int promptTokens) {
        for (int i = 0; i < hashes.size(); i++) {
            // One chunk more than there are hashes: the last, incomplete one has none.
            tokens.put(hashes.get(i), (int) ((long) promptTokens * (i + 1) / (hashes.size() + 1)));
        }
    }

    /** The most recent ones first. */
    synchronized List<PrefixHint> recent() {
        List<PrefixHint> all = new ArrayList<>(Math.min(SENT_MAX, tokens.size()));
        for (Map.Entry<Long, Integer> entry : tokens.sequencedEntrySet().reversed()) {
            if (all.size() == SENT_MAX) {
                break;
            }
            all.add(PrefixHint.newBuilder()
                    .setHash(entry.getKey())
                    .setTokens(entry.getValue())
                    .build());
        }
        return all;
    }
}
