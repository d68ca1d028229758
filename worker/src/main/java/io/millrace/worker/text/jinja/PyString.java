package io.millrace.worker.text.jinja;

/** What Python's strings do and Java's do not: code points, white space, escapes, representation. */
final class PyString {

    private PyString() {}

    static boolean isSpace(int c) {
        return Character.isWhitespace(c)
                || c == 0xA0
                || c == 0x85
                || c == 0x2007
                || c == 0x202F
                || (Character.isSpaceChar(c) && c != 0x200B);
    }

    static boolean isBlank(String text, int from) {
        for (int i = from; i < text.length(); i++) {
            if (!isSpace(text.charAt(i))) {
                return false;
            }
        }
        return true;
    }

    static String lstrip(String text) {
        int start = 0;
        while (start < text.length() && isSpace(text.charAt(start))) {
            start++;
        }
        return text.substring(start);
    }

    static String rstrip(String text) {
        int end = text.length();
        while (end > 0 && isSpace(text.charAt(end - 1))) {
            end--;
        }
        return text.substring(0, end);
    }

    static String lstrip(String text, String chars) {
        int start = 0;
        while (start < text.length() && chars.indexOf(text.codePointAt(start)) >= 0) {
            start += Character.charCount(text.codePointAt(start));
        }
        return text.substring(start);
    }

    static String rstrip(String text, String chars) {
        int end = text.length();
        while (end > 0 && chars.indexOf(text.codePointBefore(end)) >= 0) {
            end -= Character.charCount(text.codePointBefore(end));
        }
        return text.substring(0, end);
    }

    static int length(String text) {
        return text.codePointCount(0, text.length());
    }

    /** Characters, each a string. */
    static java.util.List<Object> characters(String text) {
        java.util.List<Object> characters = new java.util.ArrayList<>(text.length());
        text.codePoints().forEach(c -> characters.add(Character.toString(c)));
        return characters;
    }

    /** Order by code points. */
    static int compare(String a, String b) {
        int n = Math.min(a.length(), b.length());
        for (int i = 0; i < n; i++) {
            char x = a.charAt(i);
            char y = b.charAt(i);
            if (x != y) {
                boolean bothOrNone = Character.isSurrogate(x) == Character.isSurrogate(y);
                return bothOrNone ? Integer.signum(Character.compare(x, y)) : Character.isSurrogate(x) ? 1 : -1;
            }
        }
        return Integer.compare(a.length(), b.length());
    }

    /** Number of a piece in a text, not overlapping. */
    static int count(String text, String piece) {
        if (piece.isEmpty()) {
            return length(text) + 1;
        }
        int count = 0;
        for (int i = text.indexOf(piece); i >= 0; i = text.indexOf(piece, i + piece.length())) {
            count++;
        }
        return count;
    }

    /** @param most how many to replace; -1 for all */
    static String replace(String text, String from, String to, long most, Budget budget) {
        long hits = Math.min(count(text, from), most < 0 ? Long.MAX_VALUE : most);
        budget.allocate(text.length() + hits * (to.length() - (long) from.length()));
        StringBuilder out = new StringBuilder();
        int at = 0;
        if (from.isEmpty()) {
            for (; hits > 0 && at <= text.length(); hits--) {
                out.append(to);
                int next = at < text.length() ? at + Character.charCount(text.codePointAt(at)) : at;
                out.append(text, at, next);
                if (at == text.length()) {
                    break;
                }
                at = next;
            }
            return out.append(text, Math.min(at, text.length()), text.length()).toString();
        }
        for (; hits > 0; hits--) {
            int hit = text.indexOf(from, at);
            out.append(text, at, hit).append(to);
            at = hit + from.length();
        }
        return out.append(text, at, text.length()).toString();
    }

    /** The value of a string literal's inside. */
    static String unescape(String literal) {
        if (literal.indexOf('\\') < 0) {
            return literal;
        }
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < literal.length(); ) {
            char c = literal.charAt(i++);
            if (c != '\\' || i == literal.length()) {
                out.append(c);
                continue;
            }
            char e = literal.charAt(i++);
            int simple = "abfnrtv\\'\"".indexOf(e);
            if (simple >= 0) {
                out.append("\007\b\f\n\r\t\013\\'\"".charAt(simple));
            } else if (e == 'x' || e == 'u' || e == 'U') {
                int digits = e == 'x' ? 2 : e == 'u' ? 4 : 8;
                out.appendCodePoint(hex(literal, i, digits));
                i += digits;
            } else if (e >= '0' && e <= '7') {
                int end = i;
                while (end < literal.length()
                        && end < i + 2
                        && literal.charAt(end) >= '0'
                        && literal.charAt(end) <= '7') {
                    end++;
                }
                out.appendCodePoint(Integer.parseInt(literal.substring(i - 1, end), 8));
                i = end;
            } else if (e != '\n') {
                out.append('\\').append(e);
            }
        }
        return out.toString();
    }

    private static int hex(String literal, int at, int digits) {
        if (at + digits > literal.length()) {
            throw new IllegalArgumentException("truncated escape in a string");
        }
        try {
            int value = Integer.parseUnsignedInt(literal.substring(at, at + digits), 16);
            if (!Character.isValidCodePoint(value)) {
                throw new IllegalArgumentException("illegal Unicode character in a string");
            }
            return value;
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("malformed escape in a string", e);
        }
    }

    /** As Python's {@code repr}. */
    static String repr(String text) {
        char quote = text.indexOf('\'') >= 0 && text.indexOf('"') < 0 ? '"' : '\'';
        StringBuilder out = new StringBuilder(text.length() + 2).append(quote);
        text.codePoints().forEach(c -> {
            switch (c) {
                case '\n' -> out.append("\\n");
                case '\r' -> out.append("\\r");
                case '\t' -> out.append("\\t");
                case '\\' -> out.append("\\\\");
                default -> {
                    if (c == quote) {
                        out.append('\\').append(quote);
                    } else if (isPrintable(c)) {
                        out.appendCodePoint(c);
                    } else {
                        out.append(
                                c < 0x100
                                        ? "\\x%02x".formatted(c)
                                        : c < 0x10000 ? "\\u%04x".formatted(c) : "\\U%08x".formatted(c));
                    }
                }
            }
        });
        return out.append(quote).toString();
    }

    private static boolean isPrintable(int c) {
        return switch (Character.getType(c)) {
            case Character.CONTROL,
                    Character.FORMAT,
                    Character.SURROGATE,
                    Character.PRIVATE_USE,
                    Character.UNASSIGNED,
                    Character.LINE_SEPARATOR,
                    Character.PARAGRAPH_SEPARATOR -> false;
            case Character.SPACE_SEPARATOR -> c == ' ';
            default -> true;
        };
    }
}
