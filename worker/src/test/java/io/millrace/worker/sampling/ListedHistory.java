package io.millrace.worker.sampling;

/** A history of these ids; the first {@code promptLength} are the prompt. */
public record ListedHistory(int promptLength, int... ids) implements TokenHistory {

    /** Of nothing yet. */
    public static final ListedHistory NONE = new ListedHistory(0);

    @Override
    public int length() {
        return ids.length;
    }

    @Override
    public int get(int index) {
        return ids[index];
    }
}
