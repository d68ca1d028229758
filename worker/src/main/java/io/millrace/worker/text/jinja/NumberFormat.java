package io.millrace.worker.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;
import java.util.Locale;

/**
 * Numbers as Python's format specifications write them.
 *
 * @param sign '-' for negative numbers only, '+' always, ' ' a space for positive ones
 * @param prefix 0x and so on
 * @param precision -1: none given
 */
record NumberFormat(char sign, boolean prefix, boolean thousands, int precision) {

    private static final int PRECISION_MAX = 400;

    String format(Object value, char type) {
        if (!PyNumber.isNumber(value)) {
            throw Py.undefinedOr(value, "a number is required, not " + Py.typeName(value));
        }
        if ("dxXobn".indexOf(type) >= 0) {
            if (!PyNumber.isInteger(value)) {
                throw TemplateException.runtime("Unknown format code '" + type + "' for object of type 'float'");
            }
            return integer(PyNumber.big(value), type);
        }
        double real = PyNumber.real(value);
        String digits = Double.isNaN(real) || Double.isInfinite(real)
                ? PyNumber.repr(Math.abs(real))
                : real(Math.abs(real), type);
        boolean negative = real < 0 || (real == 0 && 1 / real < 0);
        return signed(negative, Character.isUpperCase(type) ? digits.toUpperCase(Locale.ROOT) : digits);
    }

    private String integer(BigInteger value, char type) {
        int base = switch (type) {
            case 'x', 'X' -> 16;
            case 'o' -> 8;
            case 'b' -> 2;
            default -> 10;
        };
        String digits = value.abs().toString(base);
        if (thousands) {
            digits = grouped(digits);
        }
        if (prefix && base != 10) {
            digits = "0" + Character.toLowerCase(type) + digits;
        }
        return signed(value.signum() < 0, type == 'X' ? digits.toUpperCase(Locale.ROOT) : digits);
    }

    private String signed(boolean negative, String digits) {
        return negative ? "-" + digits : sign == '-' ? digits : sign + digits;
    }

    private String real(double value, char type) {
        int places = Math.min(precision < 0 ? 6 : precision, PRECISION_MAX);
        BigDecimal exact = new BigDecimal(value);
        return switch (Character.toLowerCase(type)) {
            case 'f' -> {
                String text = exact.setScale(places, RoundingMode.HALF_EVEN).toPlainString();
                int point = text.indexOf('.');
                yield !thousands
                        ? text
                        : point < 0 ? grouped(text) : grouped(text.substring(0, point)) + text.substring(point);
            }
            case '%' ->
                exact.movePointRight(2).setScale(places, RoundingMode.HALF_EVEN).toPlainString() + "%";
            case 'e' -> scientific(exact, places);
            case 'g' -> general(exact, Math.max(1, places));
            default -> throw TemplateException.runtime("Unknown format code '" + type + "'");
        };
    }

    private static String scientific(BigDecimal value, int places) {
        if (value.signum() == 0) {
            return (places == 0 ? "0" : "0." + "0".repeat(places)) + "e+00";
        }
        BigDecimal rounded = value.round(new java.math.MathContext(places + 1, RoundingMode.HALF_EVEN));
        int exponent = rounded.precision() - rounded.scale() - 1;
        StringBuilder digits = new StringBuilder(rounded.unscaledValue().toString());
        while (digits.length() < places + 1) {
            digits.append('0');
        }
        digits.setLength(places + 1);
        return digits.charAt(0)
                + (places == 0 ? "" : "." + digits.substring(1))
                + (exponent < 0 ? "e-" : "e+")
                + (Math.abs(exponent) < 10 ? "0" : "")
                + Math.abs(exponent);
    }

    private static String general(BigDecimal value, int significant) {
        if (value.signum() == 0) {
            return "0";
        }
        BigDecimal rounded = value.round(new java.math.MathContext(significant, RoundingMode.HALF_EVEN));
        int exponent = rounded.precision() - rounded.scale() - 1;
        if (exponent >= -4 && exponent < significant) {
            return rounded.stripTrailingZeros().toPlainString();
        }
        BigDecimal stripped = rounded.stripTrailingZeros();
        return scientific(stripped, stripped.precision() - 1);
    }

    private static String grouped(String digits) {
        StringBuilder out = new StringBuilder(digits);
        for (int i = digits.length() - 3; i > 0; i -= 3) {
            out.insert(i, ',');
        }
        return out.toString();
    }

    /** @param align one of {@code < > ^ =}; the last fills between sign and digits */
    static String pad(String text, int width, char align, String fill, Budget budget) {
        int missing = width - PyString.length(text);
        if (missing <= 0) {
            return text;
        }
        budget.allocate(width);
        boolean signed = !text.isEmpty() && "+- ".indexOf(text.charAt(0)) >= 0;
        return switch (align) {
            case '<' -> text + fill.repeat(missing);
            case '^' -> fill.repeat(missing / 2) + text + fill.repeat(missing - missing / 2);
            case '=' ->
                signed ? text.charAt(0) + fill.repeat(missing) + text.substring(1) : fill.repeat(missing) + text;
            default -> fill.repeat(missing) + text;
        };
    }
}
