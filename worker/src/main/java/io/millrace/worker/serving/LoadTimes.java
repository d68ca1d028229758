package io.millrace.worker.serving;

import java.util.List;
import java.util.Locale;

/**
 * How long loading a model took, and its parts, which may run side by side.
 *
 * @param totalNanos from opening the files until requests are taken
 * @param parts in the order in which they began
 */
public record LoadTimes(long totalNanos, List<Part> parts) {

    /** Of a model that is not loaded from files. */
    public static final LoadTimes NONE = new LoadTimes(0, List.of());

    /**
     * One part.
     *
     * @param startNanos after the loading began
     */
    public record Part(String name, long startNanos, long nanos) {}

    public LoadTimes {
        parts = List.copyOf(parts);
    }

    /** For people, as in "612 ms (files 61, weights 420, tokenizer 180 after 62)". */
    @Override
    public String toString() {
        StringBuilder text = new StringBuilder(millis(totalNanos) + " ms");
        String before = " (";
        for (Part part : parts) {
            text.append(before).append(part.name()).append(' ').append(millis(part.nanos()));
            text.append(" after ").append(millis(part.startNanos()));
            before = ", ";
        }
        return parts.isEmpty() ? text.toString() : text.append(')').toString();
    }

    private static String millis(long nanos) {
        return String.format(Locale.ROOT, "%d", Math.round(nanos / 1e6));
    }
}
