package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Markup;
import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Tuple;
import java.util.ArrayList;
import java.util.List;

/** Operators between values. */
final class Operators {

    private Operators() {}

    static Object apply(String operator, Object a, Object b, Budget budget) {
        if (PyNumber.isNumber(a) && PyNumber.isNumber(b)) {
            return PyNumber.calculate(operator, a, b);
        }
        if (operator.equals("%") && Py.isString(a)) {
            return PercentFormat.format(Py.string(a), b, budget);
        }
        if (operator.equals("+")) {
            return add(a, b, budget);
        }
        if (operator.equals("*") && PyNumber.isInteger(b)) {
            return repeat(a, b, budget);
        }
        if (operator.equals("*") && PyNumber.isInteger(a)) {
            return repeat(b, a, budget);
        }
        throw unsupported(operator, a, b);
    }

    private static TemplateException unsupported(String operator, Object a, Object b) {
        return Py.undefinedOr(
                a,
                b,
                "unsupported operand type(s) for " + operator + ": '" + Py.typeName(a) + "' and '" + Py.typeName(b)
                        + "'");
    }

    private static Object add(Object a, Object b, Budget budget) {
        if (Py.isString(a) && Py.isString(b)) {
            boolean markup = a instanceof Markup || b instanceof Markup;
            String left = markup ? Filters.escape(a) : Py.string(a);
            String right = markup ? Filters.escape(b) : Py.string(b);
            budget.allocate(left.length() + (long) right.length());
            return markup ? new Markup(left + right) : left + right;
        }
        if (a instanceof List<?> x && b instanceof List<?> y) {
            return joined(x, y, budget);
        }
        if (a instanceof Tuple x && b instanceof Tuple y) {
            return new Tuple(joined(x.items(), y.items(), budget));
        }
        if (Py.isString(a)) {
            throw Py.undefinedOr(b, "can only concatenate str (not \"" + Py.typeName(b) + "\") to str");
        }
        throw unsupported("+", a, b);
    }

    private static List<Object> joined(List<?> a, List<?> b, Budget budget) {
        budget.allocateItems(a.size() + (long) b.size());
        List<Object> joined = new ArrayList<>(a.size() + b.size());
        joined.addAll(a);
        joined.addAll(b);
        return joined;
    }

    private static Object repeat(Object a, Object times, Budget budget) {
        long count = Math.max(0, Py.toLong(times));
        if (Py.isString(a)) {
            String text = Py.string(a);
            budget.allocate(product(text.length(), count));
            return text.repeat((int) (text.isEmpty() ? 0 : count));
        }
        List<?> items = a instanceof List<?> l ? l : a instanceof Tuple t ? t.items() : null;
        if (items == null) {
            throw unsupported("*", a, times);
        }
        budget.allocateItems(product(items.size(), count));
        List<Object> repeated = new ArrayList<>();
        for (long i = 0; i < count && !items.isEmpty(); i++) {
            repeated.addAll(items);
        }
        return a instanceof Tuple ? new Tuple(repeated) : repeated;
    }

    private static long product(long length, long count) {
        return length == 0 ? 0 : count > Long.MAX_VALUE / 4 / length ? Long.MAX_VALUE / 4 : length * count;
    }

    static boolean compare(String operator, Object a, Object b, Budget budget) {
        return switch (operator) {
            case "==" -> Py.equal(a, b, budget);
            case "!=" -> !Py.equal(a, b, budget);
            case "<" -> Py.compare(a, b, "<", budget) < 0;
            case "<=" -> {
                int order = Py.compare(a, b, "<=", budget);
                yield order <= 0;
            }
            case ">" -> Py.compare(a, b, ">", budget) == 1;
            case ">=" -> {
                int order = Py.compare(a, b, ">=", budget);
                yield order == 0 || order == 1;
            }
            case "in" -> Py.contains(b, a, budget);
            case "not in" -> !Py.contains(b, a, budget);
            default -> throw new IllegalArgumentException(operator);
        };
    }

    /** {@code target[start:stop:step]}, None for what is left out. */
    static Object slice(Object target, Object start, Object stop, Object step, Budget budget) {
        if (target instanceof Values.Undefined undefined) {
            throw undefined.error();
        }
        boolean sliceable = Py.isString(target)
                || target instanceof List
                || target instanceof Tuple
                || target instanceof Values.Range;
        if (!sliceable) {
            return new Values.Undefined("'" + Py.typeName(target) + "' object cannot be sliced", false);
        }
        budget.work(target);
        long by = step == None.NONE ? 1 : Py.toLong(step);
        if (by == 0) {
            throw TemplateException.runtime("slice step cannot be zero");
        }
        if (Py.isString(target) && by == 1) {
            return substring(Py.string(target), start, stop);
        }
        List<Object> items = Py.iterate(target);
        int n = items.size();
        long from = start == None.NONE ? (by > 0 ? 0 : n - 1) : clamp(Py.toLong(start), n, by);
        long to = stop == None.NONE ? (by > 0 ? n : -1) : clamp(Py.toLong(stop), n, by);
        budget.allocateItems(n);
        List<Object> picked = new ArrayList<>();
        if (Math.abs(by) > n) {
            by = by > 0 ? n + 1L : -(n + 1L);
        }
        for (long i = from; by > 0 ? i < to : i > to; i += by) {
            picked.add(items.get((int) i));
        }
        if (Py.isString(target)) {
            return Filters.concatenate(picked);
        }
        return target instanceof Tuple ? new Tuple(picked) : picked;
    }

    private static long clamp(long index, int n, long step) {
        long at = index < 0 ? index + n : index;
        if (step > 0) {
            return Math.max(0, Math.min(n, at));
        }
        return Math.max(-1, Math.min(n - 1, at));
    }

    private static String substring(String text, Object start, Object stop) {
        int n = PyString.length(text);
        long from = start == None.NONE ? 0 : clamp(Py.toLong(start), n, 1);
        long to = stop == None.NONE ? n : clamp(Py.toLong(stop), n, 1);
        if (to <= from) {
            return "";
        }
        if (n == text.length()) {
            return text.substring((int) from, (int) to);
        }
        int begin = text.offsetByCodePoints(0, (int) from);
        return text.substring(begin, text.offsetByCodePoints(begin, (int) (to - from)));
    }
}
