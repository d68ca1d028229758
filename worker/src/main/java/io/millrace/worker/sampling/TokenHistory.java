package io.millrace.worker.sampling;

/** The ids of a sequence: prompt, then output. */
public interface TokenHistory {

    int promptLength();

    /** Prompt and output. */
    int length();

    int get(int index);

    /** The first {@code count} of them. */
    default int[] first(int count) {
        int[] ids = new int[count];
        for (int i = 0; i < count; i++) {
            ids[i] = get(i);
        }
        return ids;
    }
}
