package io.millrace.worker.text.vocab;

import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * Ids of words seen before: a fixed table in which a new word replaces the one in its slot, so its memory is bounded. Lookups
 * make no garbage. Thread-safe without locks: entries do not change.
 */
final class WordCache {

    private static final int SLOTS = 1 << 15;
    private static final int MAX_CHARS = 48;

    private record Entry(String word, int[] ids) {}

    private final AtomicReferenceArray<@Nullable Entry> slots = new AtomicReferenceArray<>(SLOTS);

    int @Nullable [] get(String text, int start, int end) {
        if (end - start > MAX_CHARS) {
            return null;
        }
        Entry entry = slots.getAcquire(slot(text, start, end));
        return entry != null
                        && entry.word.length() == end - start
                        && text.regionMatches(start, entry.word, 0, end - start)
                ? entry.ids
                : null;
    }

    void put(String text, int start, int end, int[] ids) {
        if (end - start <= MAX_CHARS) {
            slots.setRelease(slot(text, start, end), new Entry(text.substring(start, end), ids));
        }
    }

    private static int slot(String text, int start, int end) {
        int hash = 0;
        for (int i = start; i < end; i++) {
            hash = 31 * hash + text.charAt(i);
        }
        hash *= 0x9E3779B1;
        return hash >>> (32 - 15);
    }
}
