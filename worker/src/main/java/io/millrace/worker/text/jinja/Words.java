package io.millrace.worker.text.jinja;

import java.util.Locale;

/** Letter case by words. */
final class Words {

    private Words() {}

    /** {@code str.title}: after anything that is no letter a capital. */
    static String title(String s) {
        StringBuilder out = new StringBuilder(s.length());
        boolean inWord = false;
        for (int i = 0; i < s.length(); ) {
            int c = s.codePointAt(i);
            out.appendCodePoint(inWord ? Character.toLowerCase(c) : Character.toTitleCase(c));
            inWord = Character.isLetter(c);
            i += Character.charCount(c);
        }
        return out.toString();
    }

    /** The filter {@code title}: words begin after white space and - ( { [ <. */
    static String titleFilter(String s) {
        StringBuilder out = new StringBuilder(s.length());
        boolean begins = true;
        for (int i = 0; i < s.length(); ) {
            int c = s.codePointAt(i);
            if (begins) {
                out.append(Character.toString(c).toUpperCase(Locale.ROOT));
            } else {
                out.appendCodePoint(Character.toLowerCase(c));
            }
            begins = PyString.isSpace(c) || "-({[<".indexOf(c) >= 0;
            i += Character.charCount(c);
        }
        return out.toString();
    }

    static String capitalize(String s) {
        if (s.isEmpty()) {
            return s;
        }
        int first = Character.charCount(s.codePointAt(0));
        return Character.toString(Character.toTitleCase(s.codePointAt(0)))
                + s.substring(first).toLowerCase(Locale.ROOT);
    }

    static String swapCase(String s) {
        StringBuilder out = new StringBuilder(s.length());
        s.codePoints().forEach(c -> {
            String one = Character.toString(c);
            out.append(Character.isUpperCase(c) ? one.toLowerCase(Locale.ROOT) : one.toUpperCase(Locale.ROOT));
        });
        return out.toString();
    }
}
