package io.millrace.worker.text.wordpiece;

import java.text.Normalizer;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/**
 * What BERT does to a text before it looks for pieces: drops control characters, sets ideographs apart, strips accents, lowers the
 * case, and cuts at spaces and punctuation.
 *
 * @param lowercase texts are lowered
 * @param stripAccents nonspacing marks are dropped
 */
record BasicText(boolean lowercase, boolean stripAccents) {

    private static final int REPLACEMENT = 0xfffd;

    /** Words and punctuation characters, none empty. */
    List<String> words(String text) {
        String clean = clean(text);
        if (stripAccents) {
            clean = withoutMarks(Normalizer.normalize(clean, Normalizer.Form.NFD));
        }
        if (lowercase) {
            clean = lowered(clean);
        }
        return split(clean);
    }

    private static String clean(String text) {
        StringBuilder out = new StringBuilder(text.length() + 16);
        text.codePoints().forEach(c -> {
            if (isSpace(c)) {
                out.append(' ');
            } else if (isIdeograph(c)) {
                out.append(' ').appendCodePoint(c).append(' ');
            } else if (c != REPLACEMENT && !isControl(c)) {
                out.appendCodePoint(c);
            }
        });
        return out.toString();
    }

    private static String withoutMarks(String text) {
        StringBuilder out = new StringBuilder(text.length());
        text.codePoints()
                .filter(c -> Character.getType(c) != Character.NON_SPACING_MARK)
                .forEach(out::appendCodePoint);
        return out.toString();
    }

    /** Each character by itself, so a sigma at the end of a word is an ordinary one. */
    private static String lowered(String text) {
        StringBuilder out = new StringBuilder(text.length());
        text.codePoints().forEach(c -> {
            if (c < 0x80) {
                out.append((char) Character.toLowerCase(c));
            } else {
                out.append(Character.toString(c).toLowerCase(Locale.ROOT));
            }
        });
        return out.toString();
    }

    private static List<String> split(String text) {
        List<String> words = new ArrayList<>();
        int start = 0;
        for (int i = 0; i < text.length(); ) {
            int c = text.codePointAt(i);
            int next = i + Character.charCount(c);
            boolean space = isSpace(c);
            if (space || isPunctuation(c)) {
                if (start < i) {
                    words.add(text.substring(start, i));
                }
                if (!space) {
                    words.add(text.substring(i, next));
                }
                start = next;
            }
            i = next;
        }
        if (start < text.length()) {
            words.add(text.substring(start));
        }
        return words;
    }

    /** Of the control characters only these three; the others are dropped. */
    private static boolean isSpace(int c) {
        return c == '\t' || c == '\n' || c == '\r' || Character.isSpaceChar(c);
    }

    private static boolean isControl(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.PRIVATE_USE,
                    Character.SURROGATE,
                    Character.UNASSIGNED -> true;
            default -> false;
        };
    }

    private static boolean isPunctuation(int c) {
        if (c < 0x80) {
            return c > ' ' && c < 0x7f && !Character.isLetterOrDigit(c);
        }
        return switch (Character.getType(c)) {
            case Character.CONNECTOR_PUNCTUATION,
                    Character.DASH_PUNCTUATION,
                    Character.START_PUNCTUATION,
                    Character.END_PUNCTUATION,
                    Character.INITIAL_QUOTE_PUNCTUATION,
                    Character.FINAL_QUOTE_PUNCTUATION,
                    Character.OTHER_PUNCTUATION -> true;
            default -> false;
        };
    }

    /** The blocks that BERT's authors listed: not kana, not hangul. */
    private static boolean isIdeograph(int c) {
        return (c >= 0x4e00 && c <= 0x9fff)
                || (c >= 0x3400 && c <= 0x4dbf)
                || (c >= 0x20000 && c <= 0x2a6df)
                || (c >= 0x2a700 && c <= 0x2b73f)
                || (c >= 0x2b740 && c <= 0x2b81f)
                || (c >= 0x2b920 && c <= 0x2ceaf)
                || (c >= 0xf900 && c <= 0xfaff)
                || (c >= 0x2f800 && c <= 0x2fa1f);
    }
}
