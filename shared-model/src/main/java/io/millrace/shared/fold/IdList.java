package io.millrace.shared.fold;

import java.util.Arrays;

/** A growing list of token ids. Not thread-safe. */
final class IdList {

    private int[] ids = new int[16];
    private int size;

    void add(int id) {
        if (size == ids.length) {
            ids = Arrays.copyOf(ids, size * 2);
        }
        ids[size++] = id;
    }

    int[] toArray() {
        return Arrays.copyOf(ids, size);
    }
}
