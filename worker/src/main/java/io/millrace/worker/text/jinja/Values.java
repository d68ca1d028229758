package io.millrace.worker.text.jinja;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The values of templates. Booleans, strings and doubles are Java's; integers are Long, or BigInteger where that is too small;
 * lists are {@link List}, dicts {@link Map} in insertion order. The others are here.
 */
final class Values {

    private Values() {}

    /** Python's None. */
    enum None {
        NONE
    }

    /**
     * What a missing name or member gives.
     *
     * @param unsafe a blocked attribute: using it is a security error
     */
    record Undefined(String message, boolean unsafe) {
        static Undefined name(String name) {
            return new Undefined("'" + name + "' is undefined", false);
        }

        TemplateException error() {
            return new TemplateException(
                    unsafe ? TemplateException.Kind.SECURITY : TemplateException.Kind.UNDEFINED, message);
        }
    }

    /** A string marked as safe: what is added to it is escaped. */
    record Markup(String text) {}

    /** A tuple; {@code names} are attributes for the first elements. */
    record Tuple(List<Object> items, List<String> names) {
        Tuple(List<Object> items) {
            this(items, List.of());
        }

        static Tuple of(Object... items) {
            return new Tuple(Arrays.asList(items));
        }
    }

    /** A view of a dict: keys, values or items. */
    record View(String name, List<Object> items) {}

    /** What can be gone through once, such as what {@code map} gives. */
    static final class Generator {
        private Iterator<Object> rest;

        Generator(List<Object> items) {
            this.rest = items.iterator();
        }

        List<Object> drain() {
            List<Object> items = new ArrayList<>();
            rest.forEachRemaining(items::add);
            rest = Collections.emptyIterator();
            return items;
        }
    }

    /** A range of integers; at most 100,000, as in Jinja's sandbox. */
    record Range(long start, long stop, long step) {
        private static final int MAX = 100_000;

        Range {
            if (step == 0) {
                throw TemplateException.runtime("range() arg 3 must not be zero");
            }
            long span = step > 0 ? stop - start : start - stop;
            if (Math.abs(start) > 1L << 60 || Math.abs(stop) > 1L << 60 || Math.abs(step) > 1L << 60) {
                throw TemplateException.runtime("range arguments are too large");
            }
            if (span > 0 && (span - 1) / Math.abs(step) + 1 > MAX) {
                throw TemplateException.runtime("Range too big. The sandbox blocks ranges larger than 100000.");
            }
        }

        int length() {
            long span = step > 0 ? stop - start : start - stop;
            return span <= 0 ? 0 : (int) ((span - 1) / Math.abs(step) + 1);
        }

        List<Object> items() {
            List<Object> items = new ArrayList<>(length());
            for (int i = 0; i < length(); i++) {
                items.add(start + i * step);
            }
            return items;
        }
    }

    /** The one object that templates may change. */
    static final class Namespace {
        private final Map<String, Object> attributes = new LinkedHashMap<>();

        Map<String, Object> attributes() {
            return attributes;
        }
    }

    /** What can be called. */
    @FunctionalInterface
    interface Function {
        Object call(CallArguments arguments);
    }

    /** A method of a value. */
    record Method(String name, Object receiver, Function function) implements Function {
        @Override
        public Object call(CallArguments arguments) {
            return function.call(arguments);
        }
    }

    /** An object with attributes of its own, such as {@code loop}. */
    interface HasAttributes {
        /** {@link Undefined} where there is none of the name. */
        Object attribute(String name);
    }
}
