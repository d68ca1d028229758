package io.millrace.worker.text;

/** Java strings that may hold lone surrogates. */
public final class Utf16 {

    private Utf16() {}

    /** The same text with U+FFFD for each lone surrogate: what can be written as UTF-8. */
    public static String wellFormed(String text) {
        for (int i = 0; i < text.length(); i++) {
            if (Character.isSurrogate(text.charAt(i))) {
                return replaceLone(text);
            }
        }
        return text;
    }

    private static String replaceLone(String text) {
        StringBuilder out = new StringBuilder(text.length());
        for (int i = 0; i < text.length(); ) {
            int c = text.codePointAt(i);
            out.appendCodePoint(c >= 0xD800 && c <= 0xDFFF ? 0xFFFD : c);
            i += Character.charCount(c);
        }
        return out.toString();
    }
}
