package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Tuple;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.function.IntPredicate;

/** Methods of Python's strings. */
final class StringMethods {

    private static final Set<String> NAMES = Set.of(
            "strip",
            "lstrip",
            "rstrip",
            "split",
            "rsplit",
            "splitlines",
            "partition",
            "rpartition",
            "startswith",
            "endswith",
            "find",
            "rfind",
            "index",
            "rindex",
            "count",
            "upper",
            "lower",
            "casefold",
            "title",
            "capitalize",
            "swapcase",
            "replace",
            "join",
            "isdigit",
            "isdecimal",
            "isnumeric",
            "isalpha",
            "isalnum",
            "isspace",
            "isupper",
            "islower",
            "istitle",
            "isascii",
            "format",
            "removeprefix",
            "removesuffix",
            "zfill",
            "ljust",
            "rjust",
            "center",
            "expandtabs");

    private StringMethods() {}

    static boolean exists(String name) {
        return NAMES.contains(name);
    }

    static Object call(String s, String name, CallArguments a) {
        return switch (name) {
            case "strip", "lstrip", "rstrip" -> strip(s, name, a);
            case "split", "rsplit" -> split(s, a, name.equals("rsplit"));
            case "splitlines" -> splitLines(s, a.truth(0, "keepends", false));
            case "partition", "rpartition" -> partition(s, a.requiredString(0, "sep"), name.equals("rpartition"));
            case "startswith" -> affix(s, a, true);
            case "endswith" -> affix(s, a, false);
            case "find", "rfind", "index", "rindex" -> find(s, name, a);
            case "count" -> (long) PyString.count(window(s, a), a.requiredString(0, "sub"));
            case "upper" -> s.toUpperCase(Locale.ROOT);
            case "lower", "casefold" -> s.toLowerCase(Locale.ROOT);
            case "title" -> Words.title(s);
            case "capitalize" -> Words.capitalize(s);
            case "swapcase" -> Words.swapCase(s);
            case "replace" ->
                PyString.replace(
                        s,
                        a.requiredString(0, "old"),
                        a.requiredString(1, "new"),
                        a.integer(2, "count", -1),
                        a.budget());
            case "join" -> join(s, a);
            case "format" -> BraceFormat.format(s, a);
            case "removeprefix" -> removePrefix(s, a.requiredString(0, "prefix"));
            case "removesuffix" -> removeSuffix(s, a.requiredString(0, "suffix"));
            case "zfill", "ljust", "rjust", "center" -> pad(s, name, a);
            case "expandtabs" -> PyString.replace(s, "\t", " ".repeat(8), -1, a.budget());
            default -> is(s, name);
        };
    }

    private static String strip(String s, String name, CallArguments a) {
        boolean left = !name.equals("rstrip");
        boolean right = !name.equals("lstrip");
        if (!a.isGiven(0, "chars")) {
            String rest = left ? PyString.lstrip(s) : s;
            return right ? PyString.rstrip(rest) : rest;
        }
        String chars = a.requiredString(0, "chars");
        String rest = left ? PyString.lstrip(s, chars) : s;
        return right ? PyString.rstrip(rest, chars) : rest;
    }

    private static List<Object> split(String s, CallArguments a, boolean fromEnd) {
        long most = a.integer(1, "maxsplit", -1);
        List<Object> parts = new ArrayList<>();
        if (!a.isGiven(0, "sep")) {
            return splitSpaces(s, most < 0 ? Long.MAX_VALUE : most, fromEnd);
        }
        String separator = a.requiredString(0, "sep");
        if (separator.isEmpty()) {
            throw TemplateException.runtime("empty separator");
        }
        a.budget().allocate(s.length());
        boolean backwards = fromEnd && most >= 0;
        int from = 0;
        int to = s.length();
        for (; most != 0; most--) {
            int at = backwards ? s.lastIndexOf(separator, to - separator.length()) : s.indexOf(separator, from);
            if (at < 0) {
                break;
            }
            parts.add(backwards ? s.substring(at + separator.length(), to) : s.substring(from, at));
            if (backwards) {
                to = at;
            } else {
                from = at + separator.length();
            }
        }
        parts.add(s.substring(from, to));
        return backwards ? parts.reversed() : parts;
    }

    private static List<Object> splitSpaces(String s, long most, boolean fromEnd) {
        List<Object> parts = new ArrayList<>();
        int from = 0;
        int to = s.length();
        while (true) {
            while (from < to && PyString.isSpace(s.charAt(from))) {
                from++;
            }
            while (to > from && PyString.isSpace(s.charAt(to - 1))) {
                to--;
            }
            if (from == to) {
                break;
            }
            if (parts.size() >= most) {
                parts.add(fromEnd ? s.substring(0, to).stripLeading() : s.substring(from));
                break;
            }
            int end = fromEnd ? to : from;
            while (fromEnd
                    ? end > from && !PyString.isSpace(s.charAt(end - 1))
                    : end < to && !PyString.isSpace(s.charAt(end))) {
                end += fromEnd ? -1 : 1;
            }
            parts.add(fromEnd ? s.substring(end, to) : s.substring(from, end));
            if (fromEnd) {
                to = end;
            } else {
                from = end;
            }
        }
        return fromEnd ? parts.reversed() : parts;
    }

    private static List<Object> splitLines(String s, boolean keepEnds) {
        List<Object> lines = new ArrayList<>();
        int from = 0;
        while (from < s.length()) {
            int end = from;
            while (end < s.length() && "\n\r\013\f\034\035\036\u0085\u2028\u2029".indexOf(s.charAt(end)) < 0) {
                end++;
            }
            int next = end == s.length() ? end : s.startsWith("\r\n", end) ? end + 2 : end + 1;
            lines.add(s.substring(from, keepEnds ? next : end));
            from = next;
        }
        return lines;
    }

    private static Tuple partition(String s, String separator, boolean last) {
        if (separator.isEmpty()) {
            throw TemplateException.runtime("empty separator");
        }
        int at = last ? s.lastIndexOf(separator) : s.indexOf(separator);
        if (at < 0) {
            return last ? Tuple.of("", "", s) : Tuple.of(s, "", "");
        }
        return Tuple.of(s.substring(0, at), separator, s.substring(at + separator.length()));
    }

    private static Object affix(String s, CallArguments a, boolean start) {
        String window = window(s, a);
        Object wanted = a.required(0, "prefix");
        List<Object> any = wanted instanceof Tuple tuple ? tuple.items() : List.of(a.requiredString(0, "prefix"));
        return any.stream().anyMatch(x -> start ? window.startsWith(Py.string(x)) : window.endsWith(Py.string(x)));
    }

    /** The part that the second and third argument name. */
    private static String window(String s, CallArguments a) {
        return a.positional().size() < 2
                ? s
                : Py.string(Operators.slice(
                        s, a.get(1, "start", None.NONE), a.get(2, "end", None.NONE), None.NONE, a.budget()));
    }

    private static Object find(String s, String name, CallArguments a) {
        String wanted = a.requiredString(0, "sub");
        String window = window(s, a);
        int at = name.startsWith("r") ? window.lastIndexOf(wanted) : window.indexOf(wanted);
        if (at < 0) {
            if (name.endsWith("index")) {
                throw TemplateException.runtime("substring not found");
            }
            return -1L;
        }
        long start = a.isGiven(1, "start") ? a.integer(1, "start", 0) : 0;
        int n = PyString.length(s);
        return window.codePointCount(0, at) + Math.min(n, Math.max(0, start < 0 ? start + n : start));
    }

    private static Object join(String s, CallArguments a) {
        List<Object> items = Py.iterate(a.required(0, "iterable"));
        StringBuilder out = new StringBuilder();
        for (int i = 0; i < items.size(); i++) {
            if (!Py.isString(items.get(i))) {
                throw Py.undefinedOr(
                        items.get(i),
                        "sequence item " + i + ": expected str instance, " + Py.typeName(items.get(i)) + " found");
            }
            String item = Py.string(items.get(i));
            a.budget().length(out.length() + (long) s.length() + item.length());
            out.append(i == 0 ? "" : s).append(item);
        }
        return out.toString();
    }

    private static String removePrefix(String s, String prefix) {
        return s.startsWith(prefix) ? s.substring(prefix.length()) : s;
    }

    private static String removeSuffix(String s, String suffix) {
        return s.endsWith(suffix) ? s.substring(0, s.length() - suffix.length()) : s;
    }

    private static String pad(String s, String name, CallArguments a) {
        long missing = Math.max(0, Py.toLong(a.required(0, "width")) - PyString.length(s));
        a.budget().allocate(s.length() + missing);
        String fill = name.equals("zfill") ? "0" : a.string(1, "fillchar", " ");
        int left = (int)
                switch (name) {
                    case "ljust" -> 0;
                    case "center" -> missing / 2 + (missing & (missing + PyString.length(s)) & 1);
                    default -> missing;
                };
        String before = fill.repeat(left);
        if (name.equals("zfill") && (s.startsWith("-") || s.startsWith("+"))) {
            return s.charAt(0) + before + s.substring(1);
        }
        return before + s + fill.repeat((int) missing - left);
    }

    private static boolean is(String s, String name) {
        return switch (name) {
            case "isascii" -> s.chars().allMatch(c -> c < 128);
            case "isspace" -> all(s, PyString::isSpace);
            case "isalpha" -> all(s, Character::isLetter);
            case "isdigit", "isdecimal" -> all(s, Character::isDigit);
            case "isnumeric" -> all(s, StringMethods::isNumeric);
            case "isalnum" -> all(s, c -> Character.isLetter(c) || isNumeric(c));
            case "isupper" -> isCase(s, Character::isUpperCase, Character::isLowerCase);
            case "islower" -> isCase(s, Character::isLowerCase, Character::isUpperCase);
            case "istitle" -> s.equals(Words.title(s)) && !s.equals(s.toLowerCase(Locale.ROOT));
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static boolean isNumeric(int c) {
        int type = Character.getType(c);
        return type == Character.DECIMAL_DIGIT_NUMBER
                || type == Character.LETTER_NUMBER
                || type == Character.OTHER_NUMBER;
    }

    private static boolean all(String s, IntPredicate predicate) {
        return !s.isEmpty() && s.codePoints().allMatch(predicate);
    }

    static boolean isCase(String s, IntPredicate wanted, IntPredicate refused) {
        return s.codePoints().anyMatch(wanted)
                && s.codePoints().noneMatch(c -> refused.test(c) || Character.isTitleCase(c));
    }
}
