package io.millrace.router.core.placement;

import java.util.Arrays;
import java.util.Iterator;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * A map from longs that are hashes already: open addressing, no boxes. Not thread-safe.
 *
 * @param <V> never null
 */
final class LongMap<V> {

    private static final int LEAST = 16;

    private long[] keys = new long[LEAST];
    private @Nullable Object[] values = new Object[LEAST];
    private int size;

    int size() {
        return size;
    }

    private int place(long key) {
        int mask = keys.length - 1;
        int at = (int) (key ^ (key >>> 32)) & mask;
        while (values[at] != null && keys[at] != key) {
            at = (at + 1) & mask;
        }
        return at;
    }

    @SuppressWarnings("unchecked")
    @Nullable
    V get(long key) {
        return (V) values[place(key)];
    }

    void put(long key, V value) {
        int at = place(key);
        if (values[at] == null) {
            size++;
        }
        keys[at] = key;
        values[at] = value;
        if (2 * size > keys.length) {
            grow();
        }
    }

    private void grow() {
        long[] oldKeys = keys;
        @Nullable Object[] oldValues = values;
        keys = new long[2 * oldKeys.length];
        values = new Object[2 * oldKeys.length];
        for (int i = 0; i < oldKeys.length; i++) {
            if (oldValues[i] != null) {
                int at = place(oldKeys[i]);
                keys[at] = oldKeys[i];
                values[at] = oldValues[i];
            }
        }
    }

    /** The values, which must not change meanwhile. */
    @SuppressWarnings("unchecked")
    Iterator<V> all() {
        return Arrays.stream(values)
                .filter(Objects::nonNull)
                .map(value -> (V) value)
                .iterator();
    }

    void remove(long key) {
        int hole = place(key);
        if (values[hole] == null) {
            return;
        }
        size--;
        int mask = keys.length - 1;
        // What follows moves up, unless its own place lies behind the hole.
        for (int at = (hole + 1) & mask; values[at] != null; at = (at + 1) & mask) {
            int home = (int) (keys[at] ^ (keys[at] >>> 32)) & mask;
            if (((at - home) & mask) >= ((at - hole) & mask)) {
                keys[hole] = keys[at];
                values[hole] = values[at];
                hole = at;
            }
        }
        values[hole] = null;
    }
}
