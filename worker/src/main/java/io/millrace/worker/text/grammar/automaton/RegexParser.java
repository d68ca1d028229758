package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayList;
import java.util.List;

/**
 * Reads regular expressions as ECMA-262 writes them, with its {@code u} flag: literals, {@code .}, classes, {@code \d \w \s},
 * {@code \p{…}}, groups, alternation, all quantifiers (lazy ones match the same texts), {@code ^} and {@code $}. What is not regular
 * or depends on its surroundings (back-references, look-around, {@code \b}, flags) is refused.
 */
public final class RegexParser {

    private static final int LENGTH_MAX = 100_000;
    private static final int DEPTH_MAX = 200;
    private static final int REPEAT_MAX = 100_000;

    private final String text;
    private int at;
    private int depth;

    private RegexParser(String text) {
        this.text = text;
    }

    public static Rx parse(String regex) {
        if (regex.length() > LENGTH_MAX) {
            throw GrammarException.tooLarge("the regular expression has %,d characters; at most %,d work."
                    .formatted(regex.length(), LENGTH_MAX));
        }
        RegexParser parser = new RegexParser(regex);
        Rx rx = parser.alternatives();
        if (parser.at < regex.length()) {
            throw parser.invalid("an unmatched ')'");
        }
        return rx;
    }

    private Rx alternatives() {
        if (++depth > DEPTH_MAX) {
            throw GrammarException.tooLarge("the regular expression is nested more than " + DEPTH_MAX + " deep.");
        }
        List<Rx> options = new ArrayList<>();
        options.add(sequence());
        while (take('|')) {
            options.add(sequence());
        }
        depth--;
        return options.size() == 1 ? options.getFirst() : new Rx.Alt(List.copyOf(options));
    }

    private Rx sequence() {
        List<Rx> items = new ArrayList<>();
        while (at < text.length() && peek() != '|' && peek() != ')') {
            items.add(quantified(atom()));
        }
        return items.size() == 1 ? items.getFirst() : new Rx.Seq(List.copyOf(items));
    }

    private Rx quantified(Rx atom) {
        int start = at;
        int[] bounds = bounds();
        if (bounds == null) {
            return atom;
        }
        if (atom instanceof Rx.Anchor) {
            at = start;
            throw invalid("a quantifier without anything to repeat");
        }
        if (take('+')) {
            at--;
            throw unsupported("possessive quantifiers");
        }
        take('?');
        if (bounds() != null) {
            at = start;
            throw invalid("two quantifiers in a row");
        }
        return new Rx.Repeat(atom, bounds[0], bounds[1]);
    }

    /** A quantifier, if one stands here. */
    private int @org.jspecify.annotations.Nullable [] bounds() {
        if (take('*')) {
            return new int[] {0, -1};
        }
        if (take('+')) {
            return new int[] {1, -1};
        }
        if (take('?')) {
            return new int[] {0, 1};
        }
        if (!take('{')) {
            return null;
        }
        int min = number();
        int max = min;
        if (take(',')) {
            max = peek() == '}' ? -1 : number();
        }
        if (!take('}')) {
            throw invalid("a '{' that begins no quantifier (write \\{ for the character)");
        }
        if (max >= 0 && max < min) {
            throw invalid("a quantifier whose bounds are the wrong way round");
        }
        return new int[] {min, max};
    }

    private int number() {
        int start = at;
        long value = 0;
        while (at < text.length() && peek() >= '0' && peek() <= '9') {
            value = Math.min(value * 10 + (peek() - '0'), Integer.MAX_VALUE);
            at++;
        }
        if (at == start) {
            throw invalid("a '{' that begins no quantifier (write \\{ for the character)");
        }
        if (value > REPEAT_MAX) {
            throw GrammarException.tooLarge("the regular expression repeats something %,d times; at most %,d work."
                    .formatted(value, REPEAT_MAX));
        }
        return (int) value;
    }

    private Rx atom() {
        int c = next();
        return switch (c) {
            case '^' -> new Rx.Anchor(true);
            case '$' -> new Rx.Anchor(false);
            case '.' -> new Rx.Chars(CharClasses.DOT);
            case '[' -> new Rx.Chars(characterClass());
            case '(' -> group();
            case '\\' -> escape();
            case '*', '+', '?', '{' -> {
                at--;
                throw invalid("a quantifier without anything to repeat");
            }
            default -> new Rx.Chars(CharSet.of(c));
        };
    }

    private Rx group() {
        if (take('?')) {
            if (take(':')) {
                return closed();
            }
            take('P');
            if (take('<') && peek() != '=' && peek() != '!') {
                while (at < text.length() && peek() != '>') {
                    at++;
                }
                take('>');
                return closed();
            }
            throw unsupported("look-around, flags and conditions, (?…)");
        }
        return closed();
    }

    private Rx closed() {
        Rx rx = alternatives();
        if (!take(')')) {
            throw invalid("a '(' that is not closed");
        }
        return rx;
    }

    private Rx escape() {
        if (at == text.length()) {
            throw invalid("a '\\' at the end");
        }
        char c = peek();
        if (c >= '1' && c <= '9' || c == 'k') {
            throw unsupported("back-references");
        }
        if (c == 'b' || c == 'B') {
            throw unsupported("\\" + c);
        }
        if (c == 'A' || c == 'Z' || c == 'z' || c == 'G' || c == 'Q') {
            throw unsupported("\\" + c + " (use ^ and $)");
        }
        return new Rx.Chars(escaped());
    }

    /** The set that an escape stands for; the position is behind the backslash. */
    private CharSet escaped() {
        int c = next();
        return switch (c) {
            case 'd' -> CharClasses.DIGIT;
            case 'D' -> CharClasses.DIGIT.negate();
            case 'w' -> CharClasses.WORD;
            case 'W' -> CharClasses.WORD.negate();
            case 's' -> CharClasses.SPACE;
            case 'S' -> CharClasses.SPACE.negate();
            case 'p', 'P' -> property(c == 'P');
            default -> CharSet.of(character(c));
        };
    }

    private int character(int c) {
        return switch (c) {
            case 't' -> '\t';
            case 'n' -> '\n';
            case 'r' -> '\r';
            case 'f' -> '\f';
            case 'v' -> 0x0B;
            case '0' -> 0;
            case 'x' -> hex(2);
            case 'u' -> unicode();
            case 'c' -> {
                int letter = next();
                if (!Character.isLetter(letter) || letter > 'z') {
                    throw invalid("a \\c without a letter");
                }
                yield letter % 32;
            }
            default -> {
                if (c < 0x80 && Character.isLetterOrDigit(c)) {
                    throw invalid("the unknown escape \\" + Character.toString(c));
                }
                yield c;
            }
        };
    }

    private int unicode() {
        if (take('{')) {
            int start = at;
            int value = 0;
            while (at < text.length() && peek() != '}' && at - start <= 6) {
                value = value * 16 + Math.max(0, Character.digit(peek(), 16));
                at++;
            }
            if (!take('}') || value > Character.MAX_CODE_POINT) {
                throw invalid("a \\u{…} that is no code point");
            }
            return scalar(value);
        }
        int first = hex(4);
        if (Character.isHighSurrogate((char) first) && text.startsWith("\\u", at)) {
            at += 2;
            int second = hex(4);
            if (Character.isLowSurrogate((char) second)) {
                return Character.toCodePoint((char) first, (char) second);
            }
        }
        return scalar(first);
    }

    private int scalar(int value) {
        if (value >= Character.MIN_SURROGATE && value <= Character.MAX_SURROGATE) {
            throw invalid("half of a surrogate pair");
        }
        return value;
    }

    private int hex(int digits) {
        int value = 0;
        for (int i = 0; i < digits; i++) {
            int digit = at < text.length() ? Character.digit(peek(), 16) : -1;
            if (digit < 0) {
                throw invalid("an escape with fewer than " + digits + " hexadecimal digits");
            }
            value = value * 16 + digit;
            at++;
        }
        return value;
    }

    private CharSet property(boolean negated) {
        int end = text.indexOf('}', at);
        if (!take('{') || end < 0) {
            throw invalid("a \\p without {name}");
        }
        String name = text.substring(at, end);
        at = end + 1;
        CharSet set = CharClasses.property(name);
        if (set == null) {
            throw unsupported("the property \\p{" + name + "}");
        }
        return negated ? set.negate() : set;
    }

    private CharSet characterClass() {
        boolean negated = take('^');
        List<CharSet> parts = new ArrayList<>();
        while (true) {
            if (at == text.length()) {
                throw invalid("a '[' that is not closed");
            }
            if (take(']')) {
                break;
            }
            if (peek() == '[' || text.startsWith("&&", at)) {
                if (text.startsWith("[:", at) || text.startsWith("&&", at)) {
                    throw unsupported("'" + text.substring(at, at + 2) + "' in a class (escape it)");
                }
            }
            CharSet low = member();
            if (peek() == '-' && at + 1 < text.length() && text.charAt(at + 1) != ']') {
                at++;
                parts.add(span(low, member()));
            } else {
                parts.add(low);
            }
        }
        CharSet set = CharSet.union(parts);
        return negated ? set.negate() : set;
    }

    private CharSet member() {
        int c = next();
        if (c != '\\') {
            return CharSet.of(c);
        }
        if (at == text.length()) {
            throw invalid("a '\\' at the end");
        }
        if (take('b')) {
            return CharSet.of('\b');
        }
        return escaped();
    }

    private CharSet span(CharSet low, CharSet high) {
        int first = low.single();
        int last = high.single();
        if (first < 0 || last < 0 || last < first) {
            throw invalid("a range in a class that is none");
        }
        return CharSet.range(first, last).and(CharSet.ALL);
    }

    private char peek() {
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private boolean take(char c) {
        boolean here = at < text.length() && text.charAt(at) == c;
        at += here ? 1 : 0;
        return here;
    }

    private int next() {
        if (at == text.length()) {
            throw invalid("an escape that breaks off");
        }
        int c = text.codePointAt(at);
        at += Character.charCount(c);
        return scalar(c);
    }

    private GrammarException invalid(String what) {
        return GrammarException.invalid("the regular expression has " + what + " at character " + at + ".");
    }

    private GrammarException unsupported(String what) {
        return GrammarException.unsupported(
                "the regular expression uses " + what + " at character " + at + ", which this server cannot enforce.");
    }
}
