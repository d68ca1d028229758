package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Markup;
import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Tuple;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Jinja's tests. */
final class Tests {

    private static final Set<String> NAMES = Set.of(
            "boolean",
            "callable",
            "defined",
            "divisibleby",
            "eq",
            "equalto",
            "==",
            "escaped",
            "even",
            "false",
            "filter",
            "float",
            "ge",
            ">=",
            "greaterthan",
            "gt",
            ">",
            "in",
            "integer",
            "iterable",
            "le",
            "<=",
            "lessthan",
            "lower",
            "lt",
            "<",
            "mapping",
            "ne",
            "!=",
            "none",
            "number",
            "odd",
            "sameas",
            "sequence",
            "string",
            "test",
            "true",
            "undefined",
            "upper");

    private Tests() {}

    static boolean exists(String name) {
        return NAMES.contains(name);
    }

    static boolean apply(String name, Object value, CallArguments a) {
        return switch (name) {
            case "defined" -> {
                a.atMost(0);
                yield !(value instanceof Undefined);
            }
            case "undefined" -> value instanceof Undefined;
            case "none" -> value == None.NONE;
            case "boolean" -> value instanceof Boolean;
            case "true" -> Boolean.TRUE.equals(value);
            case "false" -> Boolean.FALSE.equals(value);
            case "string" -> Py.isString(value);
            case "number" -> PyNumber.isNumber(value);
            case "integer" -> PyNumber.isInteger(value) && !(value instanceof Boolean);
            case "float" -> value instanceof Double;
            case "mapping" -> value instanceof Map;
            case "iterable" -> Py.isIterable(value);
            case "sequence" ->
                Py.isString(value)
                        || value instanceof List
                        || value instanceof Map
                        || value instanceof Tuple
                        || value instanceof Values.Range
                        || value instanceof Undefined;
            case "callable" -> value instanceof Values.Function;
            case "escaped" -> value instanceof Markup;
            case "filter" -> Py.isString(value) && Filters.exists(Py.string(value));
            case "test" -> Py.isString(value) && exists(Py.string(value));
            case "lower" -> StringMethods.isCase(Py.string(value), Character::isLowerCase, Character::isUpperCase);
            case "upper" -> StringMethods.isCase(Py.string(value), Character::isUpperCase, Character::isLowerCase);
            case "even" -> remainder(value, 2L, a.budget()) == 0;
            case "odd" -> remainder(value, 2L, a.budget()) == 1;
            case "divisibleby" -> remainder(value, a.required(0, "num"), a.budget()) == 0;
            case "sameas" -> same(value, a.required(0, "other"));
            default -> Operators.compare(operator(name), value, a.required(0, "other"), a.budget());
        };
    }

    private static double remainder(Object value, Object divisor, Budget budget) {
        return PyNumber.real(Operators.apply("%", value, divisor, budget));
    }

    private static boolean same(Object a, Object b) {
        return a == b || (a.getClass() == b.getClass() && (a instanceof Long || a instanceof Boolean) && a.equals(b));
    }

    private static String operator(String name) {
        return switch (name) {
            case "eq", "equalto", "==" -> "==";
            case "ne", "!=" -> "!=";
            case "lt", "lessthan", "<" -> "<";
            case "le", "<=" -> "<=";
            case "gt", "greaterthan", ">" -> ">";
            case "ge", ">=" -> ">=";
            case "in" -> "in";
            default -> throw TemplateException.runtime("No test named '" + name + "'.");
        };
    }
}
