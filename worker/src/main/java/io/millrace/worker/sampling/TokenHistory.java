package io.millrace.worker.sampling;

/** The ids of a sequence: prompt, then output. */
public interface TokenHistory {

    /** Of a row whose choice asks nothing of it: greedy, or without penalties. */
    TokenHistory NONE = new TokenHistory() {
        @Override
        public int promptLength() {
            return 0;
        }

        @Override
        public int length() {
            return 0;
        }

        @Override
        public int get(int index) {
            throw new IndexOutOfBoundsException(index);
        }
    };

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
