package io.millrace.gateway.parse;

import java.util.List;

/**
 * Finds markers in text that comes character by character. Held back is only what may be the beginning of one, and white space before
 * it. No marker begins with white space or with another one. Not thread-safe.
 */
final class MarkerScan {

    /** Takes text that is no marker. */
    interface Text {
        void accept(char c);
    }

    private final List<String> markers;
    private final StringBuilder held = new StringBuilder();
    /** Characters of {@link #held} that are white space before a possible marker. */
    private int white;

    MarkerScan(List<String> markers) {
        this.markers = List.copyOf(markers);
    }

    static boolean isWhite(char c) {
        return c == ' ' || c == '\n' || c == '\t' || c == '\r';
    }

    /** Takes a character; the index of the marker that is complete with it, which leaves {@link #held}, or -1. */
    int accept(char c, Text text) {
        held.append(c);
        while (held.length() > white) {
            int length = held.length() - white;
            for (int i = 0; i < markers.size(); i++) {
                String marker = markers.get(i);
                if (begins(marker, length)) {
                    if (length == marker.length()) {
                        held.setLength(white);
                        return i;
                    }
                    return -1;
                }
            }
            if (isWhite(held.charAt(white))) {
                white++;
            } else {
                emit(white + 1, text);
            }
        }
        return -1;
    }

    private boolean begins(String marker, int length) {
        if (length > marker.length()) {
            return false;
        }
        for (int i = 0; i < length; i++) {
            if (held.charAt(white + i) != marker.charAt(i)) {
                return false;
            }
        }
        return true;
    }

    private void emit(int count, Text text) {
        for (int i = 0; i < count; i++) {
            text.accept(held.charAt(i));
        }
        held.delete(0, count);
        white = 0;
    }

    /** Nothing but white space is held back. */
    boolean onlyWhite() {
        return held.length() == white;
    }

    /** What is held back; it is held no more. */
    String take() {
        String text = held.toString();
        held.setLength(0);
        white = 0;
        return text;
    }
}
