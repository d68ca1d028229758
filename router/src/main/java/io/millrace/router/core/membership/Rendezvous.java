package io.millrace.router.core.membership;

import java.util.Collection;
import org.jspecify.annotations.Nullable;

/** Rendezvous (highest random weight) hashing: who of these takes that key; few keys move when somebody joins or leaves. */
public final class Rendezvous {

    private Rendezvous() {}

    /** The winner for the key; null when there are no nodes. */
    public static @Nullable String pick(Collection<String> nodes, long key) {
        String best = null;
        long bestWeight = 0;
        for (String node : nodes) {
            long weight = weight(node, key);
            if (best == null
                    || Long.compareUnsigned(weight, bestWeight) > 0
                    || (weight == bestWeight && node.compareTo(best) < 0)) {
                best = node;
                bestWeight = weight;
            }
        }
        return best;
    }

    /** Weight of the node for the key, to be compared unsigned. */
    public static long weight(String node, long key) {
        long hash = mix(key);
        for (int i = 0; i < node.length(); i++) {
            hash = mix(hash ^ node.charAt(i));
        }
        return hash;
    }

    private static long mix(long value) {
        long z = value + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }
}
