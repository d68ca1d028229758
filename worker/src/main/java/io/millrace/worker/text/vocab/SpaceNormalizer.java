package io.millrace.worker.text.vocab;

import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;

/**
 * Text as sentencepiece vocabularies are made of it: its compiled rules applied (such as NFKC), extra spaces removed, a space
 * added, spaces written as U+2581. Thread-safe.
 */
final class SpaceNormalizer {

    private static final char SPACE = '\u2581';

    private final Vocabulary.Spaces spaces;
    private final boolean addsPrefix;
    private final CharsMap charsMap;

    SpaceNormalizer(Vocabulary vocabulary) {
        this.spaces = vocabulary.spaces();
        // Files without the flag mean true, as the original Llama.
        this.addsPrefix = !Boolean.FALSE.equals(spaces.addPrefix());
        this.charsMap = CharsMap.of(vocabulary);
    }

    /** Whether a text's first space is not its own. */
    boolean addsPrefix() {
        return addsPrefix && !spaces.asSuffix();
    }

    String normalize(String text) {
        String mapped = charsMap.isEmpty() ? text : mapped(text);
        String trimmed = spaces.removeExtra() ? withoutExtraSpaces(mapped) : mapped;
        if (trimmed.isEmpty()) {
            return trimmed;
        }
        String escaped = trimmed.replace(' ', SPACE);
        if (!addsPrefix) {
            return escaped;
        }
        return spaces.asSuffix() ? escaped + SPACE : SPACE + escaped;
    }

    private String mapped(String text) {
        byte[] utf8 = text.getBytes(StandardCharsets.UTF_8);
        ByteArrayOutputStream out = new ByteArrayOutputStream(utf8.length + utf8.length / 4);
        for (int at = 0; at < utf8.length; ) {
            at += charsMap.apply(utf8, at, out);
        }
        return out.toString(StandardCharsets.UTF_8);
    }

    private static String withoutExtraSpaces(String text) {
        StringBuilder out = new StringBuilder(text.length());
        boolean pending = false;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == ' ') {
                pending = !out.isEmpty();
            } else {
                if (pending) {
                    out.append(' ');
                    pending = false;
                }
                out.append(c);
            }
        }
        return out.toString();
    }
}
