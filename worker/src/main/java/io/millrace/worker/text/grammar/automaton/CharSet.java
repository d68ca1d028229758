package io.millrace.worker.text.grammar.automaton;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntPredicate;

/** An immutable set of code points: sorted, disjoint, inclusive ranges. Surrogates are no characters. */
public final class CharSet {

    public static final CharSet EMPTY = new CharSet(new int[0]);
    /** Every Unicode scalar value. */
    public static final CharSet ALL = new CharSet(new int[] {0, 0xD7FF, 0xE000, 0x10FFFF});

    private final int[] bounds;

    private CharSet(int[] bounds) {
        this.bounds = bounds;
    }

    public static CharSet of(int codePoint) {
        return range(codePoint, codePoint);
    }

    public static CharSet of(String characters) {
        return union(characters.codePoints().mapToObj(CharSet::of).toList());
    }

    public static CharSet range(int first, int last) {
        return new CharSet(new int[] {first, last});
    }

    public static CharSet where(IntPredicate test) {
        List<CharSet> ranges = new ArrayList<>();
        int from = -1;
        for (int c = 0; c <= Character.MAX_CODE_POINT + 1; c++) {
            boolean in = c <= Character.MAX_CODE_POINT && !isSurrogate(c) && test.test(c);
            if (in && from < 0) {
                from = c;
            } else if (!in && from >= 0) {
                ranges.add(range(from, c - 1));
                from = -1;
            }
        }
        return union(ranges);
    }

    private static boolean isSurrogate(int c) {
        return c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE;
    }

    public static CharSet union(List<CharSet> sets) {
        int count = sets.stream().mapToInt(s -> s.bounds.length / 2).sum();
        long[] ranges = new long[count];
        int n = 0;
        for (CharSet set : sets) {
            for (int i = 0; i < set.bounds.length; i += 2) {
                ranges[n++] = ((long) set.bounds[i] << 32) | set.bounds[i + 1];
            }
        }
        Arrays.sort(ranges);
        int[] out = new int[2 * count];
        int size = 0;
        for (long range : ranges) {
            int lo = (int) (range >>> 32);
            int hi = (int) range;
            if (size > 0 && lo <= out[size - 1] + 1) {
                out[size - 1] = Math.max(out[size - 1], hi);
            } else {
                out[size++] = lo;
                out[size++] = hi;
            }
        }
        return new CharSet(Arrays.copyOf(out, size));
    }

    public CharSet or(CharSet other) {
        return union(List.of(this, other));
    }

    public CharSet and(CharSet other) {
        int[] out = new int[bounds.length + other.bounds.length];
        int size = 0;
        for (int i = 0, j = 0; i < bounds.length && j < other.bounds.length; ) {
            int lo = Math.max(bounds[i], other.bounds[j]);
            int hi = Math.min(bounds[i + 1], other.bounds[j + 1]);
            if (lo <= hi) {
                out[size++] = lo;
                out[size++] = hi;
            }
            if (bounds[i + 1] < other.bounds[j + 1]) {
                i += 2;
            } else {
                j += 2;
            }
        }
        return new CharSet(Arrays.copyOf(out, size));
    }

    /** Every other character. */
    public CharSet negate() {
        int[] out = new int[bounds.length + 2];
        int size = 0;
        int from = 0;
        for (int i = 0; i < bounds.length; i += 2) {
            if (bounds[i] > from) {
                out[size++] = from;
                out[size++] = bounds[i] - 1;
            }
            from = bounds[i + 1] + 1;
        }
        if (from <= Character.MAX_CODE_POINT) {
            out[size++] = from;
            out[size++] = Character.MAX_CODE_POINT;
        }
        return new CharSet(Arrays.copyOf(out, size)).and(ALL);
    }

    public boolean isEmpty() {
        return bounds.length == 0;
    }

    public boolean contains(int codePoint) {
        int at = Arrays.binarySearch(bounds, codePoint);
        return at >= 0 || (-at - 1) % 2 == 1;
    }

    /** The one character in it; -1 when it has none or several. */
    public int single() {
        return bounds.length == 2 && bounds[0] == bounds[1] ? bounds[0] : -1;
    }

    /** first, last, first, last …; not to be changed. */
    int[] bounds() {
        return bounds;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof CharSet set && Arrays.equals(bounds, set.bounds);
    }

    @Override
    public int hashCode() {
        return Arrays.hashCode(bounds);
    }
}
