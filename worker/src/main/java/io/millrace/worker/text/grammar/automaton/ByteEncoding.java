package io.millrace.worker.text.grammar.automaton;

import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** From an automaton over code points to the automaton over the bytes in which a text with these code points is written. */
public final class ByteEncoding {

    /** How a character is written. */
    public enum Mode {
        /** Its UTF-8 bytes. */
        UTF8,
        /** As within a JSON string, shortest form: raw, or the escape that JSON demands. */
        JSON,
        /** As within a JSON string, in any form that JSON allows. */
        JSON_ANY
    }

    private static final CharSet HEX = CharSet.of("0123456789abcdefABCDEF");
    private static final CharSet JSON_RAW =
            CharSet.range(0, 0x1F).or(CharSet.of("\"\\")).negate();
    private static final Map<Character, Character> SHORT =
            Map.of('b', '\b', 'f', '\f', 'n', '\n', 'r', '\r', 't', '\t', '"', '"', '\\', '\\');

    private record Suffix(List<Integer> bounds, int to) {}

    private final Nfa nfa;
    private final Mode mode;
    private final Map<Suffix, Integer> suffixes = new HashMap<>();

    private ByteEncoding(Nfa nfa, Mode mode) {
        this.nfa = nfa;
        this.mode = mode;
    }

    public static Automaton encode(Automaton text, Mode mode, Budget budget) {
        Nfa nfa = new Nfa(budget);
        ByteEncoding encoding = new ByteEncoding(nfa, mode);
        int[] nodes = new int[text.states()];
        Arrays.setAll(nodes, i -> nfa.node());
        int end = nfa.node();
        for (int s = 0; s < nodes.length; s++) {
            int from = nodes[s];
            text.byTarget(s).forEach((to, set) -> encoding.characters(set, from, nodes[to]));
            if (text.accepts(s)) {
                nfa.epsilon(from, end);
            }
        }
        return Determinizer.run(nfa, nodes[0], end, budget);
    }

    private void characters(CharSet set, int from, int to) {
        CharSet raw = mode == Mode.UTF8 ? set : set.and(JSON_RAW);
        int[] bounds = raw.bounds();
        for (int i = 0; i < bounds.length; i += 2) {
            utf8(bounds[i], bounds[i + 1], from, to);
        }
        if (mode != Mode.UTF8) {
            escapes(set, from, to);
        }
    }

    private void escapes(CharSet set, int from, int to) {
        int escaped = nfa.node();
        nfa.edge(from, CharSet.of('\\'), escaped);
        SHORT.forEach((letter, character) -> {
            if (set.contains(character)) {
                nfa.edge(escaped, CharSet.of(letter), to);
            }
        });
        if (mode == Mode.JSON_ANY && set.equals(CharSet.ALL)) {
            nfa.edge(escaped, CharSet.of('/'), to);
            anyUnicode(escaped, to);
            return;
        }
        for (int c = 0; c < 0x20; c++) {
            if (set.contains(c) && !SHORT.containsValue((char) c)) {
                path(
                        escaped,
                        to,
                        CharSet.of('u'),
                        CharSet.of('0'),
                        CharSet.of('0'),
                        CharSet.of('0' + c / 16),
                        hex(c % 16));
            }
        }
    }

    private static CharSet hex(int digit) {
        return CharSet.of(Character.forDigit(digit, 16))
                .or(CharSet.of(Character.toUpperCase(Character.forDigit(digit, 16))));
    }

    /** Four digits that are no surrogate, or a pair of surrogates. */
    private void anyUnicode(int escaped, int to) {
        CharSet u = CharSet.of('u');
        path(escaped, to, u, CharSet.of("0123456789abcefABCEF"), HEX, HEX, HEX);
        path(escaped, to, u, CharSet.of("dD"), CharSet.range('0', '7'), HEX, HEX);
        path(
                escaped,
                to,
                u,
                CharSet.of("dD"),
                CharSet.of("89abAB"),
                HEX,
                HEX,
                CharSet.of('\\'),
                u,
                CharSet.of("dD"),
                CharSet.of("cdefCDEF"),
                HEX,
                HEX);
    }

    private void path(int from, int to, CharSet... sets) {
        int at = from;
        for (int i = 0; i < sets.length; i++) {
            int then = i == sets.length - 1 ? to : nfa.node();
            nfa.edge(at, sets[i], then);
            at = then;
        }
    }

    /** Cuts the range until the encodings of its two ends differ in ranges of bytes only. */
    private void utf8(int lo, int hi, int from, int to) {
        for (int last : new int[] {0x7F, 0x7FF, 0xFFFF}) {
            if (lo <= last && hi > last) {
                utf8(lo, last, from, to);
                utf8(last + 1, hi, from, to);
                return;
            }
        }
        int length = lo <= 0x7F ? 1 : lo <= 0x7FF ? 2 : lo <= 0xFFFF ? 3 : 4;
        for (int i = 1; i < length; i++) {
            int mask = (1 << (6 * i)) - 1;
            if ((lo & ~mask) != (hi & ~mask)) {
                if ((lo & mask) != 0) {
                    utf8(lo, lo | mask, from, to);
                    utf8((lo | mask) + 1, hi, from, to);
                    return;
                }
                if ((hi & mask) != mask) {
                    utf8(lo, (hi & ~mask) - 1, from, to);
                    utf8(hi & ~mask, hi, from, to);
                    return;
                }
            }
        }
        Integer[] bounds = new Integer[2 * length];
        for (int i = 0; i < length; i++) {
            bounds[2 * i] = octet(lo, i, length);
            bounds[2 * i + 1] = octet(hi, i, length);
        }
        List<Integer> all = Arrays.asList(bounds);
        nfa.edge(from, CharSet.range(bounds[0], bounds[1]), suffix(all.subList(2, all.size()), to));
    }

    private static int octet(int codePoint, int index, int length) {
        if (length == 1) {
            return codePoint;
        }
        int bits = codePoint >> (6 * (length - 1 - index));
        return index == 0 ? (0xF0 << (4 - length) & 0xFF) | bits : 0x80 | (bits & 0x3F);
    }

    /** The node from which these ranges lead to {@code to}; shared by all characters that end alike. */
    private int suffix(List<Integer> bounds, int to) {
        if (bounds.isEmpty()) {
            return to;
        }
        Suffix key = new Suffix(List.copyOf(bounds), to);
        Integer known = suffixes.get(key);
        if (known != null) {
            return known;
        }
        int node = nfa.node();
        nfa.edge(node, CharSet.range(bounds.get(0), bounds.get(1)), suffix(bounds.subList(2, bounds.size()), to));
        suffixes.put(key, node);
        return node;
    }
}
