package io.millrace.worker.text.jinja;

import java.math.BigDecimal;
import java.math.BigInteger;
import java.math.RoundingMode;

/** Python's numbers: integers of any size, doubles, booleans as 0 and 1. */
final class PyNumber {

    private static final int BITS_MAX = 1 << 16;

    private PyNumber() {}

    static boolean isNumber(Object value) {
        return value instanceof Long
                || value instanceof BigInteger
                || value instanceof Double
                || value instanceof Boolean;
    }

    static boolean isInteger(Object value) {
        return value instanceof Long || value instanceof BigInteger || value instanceof Boolean;
    }

    static Object normal(BigInteger value) {
        if (value.bitLength() > BITS_MAX) {
            throw TemplateException.runtime("an integer of " + value.bitLength() + " bits is too large");
        }
        return value.bitLength() < 64 ? (Object) value.longValue() : value;
    }

    static BigInteger big(Object value) {
        return switch (value) {
            case BigInteger i -> i;
            case Long l -> BigInteger.valueOf(l);
            case Boolean b -> b ? BigInteger.ONE : BigInteger.ZERO;
            default -> throw new IllegalArgumentException(Py.typeName(value));
        };
    }

    static double real(Object value) {
        return switch (value) {
            case Double d -> d;
            case Long l -> l;
            case Boolean b -> b ? 1 : 0;
            case BigInteger i -> i.doubleValue();
            default -> throw Py.undefinedOr(value, "must be real number, not " + Py.typeName(value));
        };
    }

    static int compare(Object a, Object b) {
        if (a instanceof Long x && b instanceof Long y) {
            return Long.compare(x, y);
        }
        if (isInteger(a) && isInteger(b)) {
            return big(a).compareTo(big(b));
        }
        double x = real(a);
        double y = real(b);
        if (Double.isNaN(x) || Double.isNaN(y)) {
            return 2;
        }
        if (Double.isInfinite(x) || Double.isInfinite(y) || (a instanceof Double && b instanceof Double)) {
            return x < y ? -1 : x > y ? 1 : 0;
        }
        return exact(a).compareTo(exact(b));
    }

    private static BigDecimal exact(Object value) {
        return value instanceof Double d ? new BigDecimal(d) : new BigDecimal(big(value));
    }

    static Object negate(Object value) {
        if (!isNumber(value)) {
            throw Py.undefinedOr(value, "bad operand type for unary -: '" + Py.typeName(value) + "'");
        }
        return value instanceof Double d ? (Object) (-d) : normal(big(value).negate());
    }

    /** Both must be numbers. */
    static Object calculate(String operator, Object a, Object b) {
        if (a instanceof Long x && b instanceof Long y) {
            switch (operator) {
                case "+" -> {
                    long sum = x + y;
                    if (((x ^ sum) & (y ^ sum)) >= 0) {
                        return sum;
                    }
                }
                case "-" -> {
                    long difference = x - y;
                    if (((x ^ y) & (x ^ difference)) >= 0) {
                        return difference;
                    }
                }
                default -> {}
            }
        }
        boolean integers = isInteger(a) && isInteger(b);
        if (integers && !operator.equals("/") && !(operator.equals("**") && big(b).signum() < 0)) {
            return integers(operator, big(a), big(b));
        }
        return reals(operator, real(a), real(b));
    }

    private static Object integers(String operator, BigInteger a, BigInteger b) {
        return switch (operator) {
            case "+" -> normal(a.add(b));
            case "-" -> normal(a.subtract(b));
            case "*" -> {
                if (a.bitLength() + b.bitLength() > BITS_MAX) {
                    throw TemplateException.runtime("the product is too large");
                }
                yield normal(a.multiply(b));
            }
            case "//" -> {
                BigInteger[] parts = divide(a, b);
                yield normal(parts[0]);
            }
            case "%" -> normal(divide(a, b)[1]);
            case "**" -> {
                if (a.abs().compareTo(BigInteger.ONE) > 0
                        && (b.bitLength() > 31 || a.bitLength() * b.longValue() > BITS_MAX)) {
                    throw TemplateException.runtime("the power is too large");
                }
                yield normal(a.pow(b.bitLength() > 31 ? (b.testBit(0) ? 1 : 2) : b.intValue()));
            }
            default -> throw new IllegalArgumentException(operator);
        };
    }

    /** Quotient rounded down, and remainder with the divisor's sign. */
    private static BigInteger[] divide(BigInteger a, BigInteger b) {
        if (b.signum() == 0) {
            throw TemplateException.runtime("integer division or modulo by zero");
        }
        BigInteger[] parts = a.divideAndRemainder(b);
        if (parts[1].signum() != 0 && parts[1].signum() != b.signum()) {
            parts[0] = parts[0].subtract(BigInteger.ONE);
            parts[1] = parts[1].add(b);
        }
        return parts;
    }

    private static Object reals(String operator, double a, double b) {
        if (b == 0 && (operator.equals("/") || operator.equals("//") || operator.equals("%"))) {
            throw TemplateException.runtime("division by zero");
        }
        return switch (operator) {
            case "+" -> a + b;
            case "-" -> a - b;
            case "*" -> a * b;
            case "/" -> a / b;
            case "//" -> Math.floor(a / b);
            case "%" -> {
                double rest = a % b;
                yield rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
            }
            case "**" -> Math.pow(a, b);
            default -> throw new IllegalArgumentException(operator);
        };
    }

    /** Shortest digits that read back as the same double, in Python's form. */
    static String repr(double value) {
        if (Double.isNaN(value)) {
            return "nan";
        }
        if (Double.isInfinite(value)) {
            return value > 0 ? "inf" : "-inf";
        }
        if (value == 0) {
            return 1 / value < 0 ? "-0.0" : "0.0";
        }
        BigDecimal decimal = new BigDecimal(Double.toString(value)).stripTrailingZeros();
        // Java writes at least two digits, Python one where that is enough.
        BigDecimal oneDigit = decimal.round(new java.math.MathContext(1));
        if (decimal.precision() == 2 && oneDigit.doubleValue() == value) {
            decimal = oneDigit.stripTrailingZeros();
        }
        int exponent = decimal.precision() - decimal.scale() - 1;
        if (exponent >= -4 && exponent < 16) {
            String plain = decimal.toPlainString();
            return plain.indexOf('.') < 0 ? plain + ".0" : plain;
        }
        String digits = decimal.unscaledValue().abs().toString();
        return (value < 0 ? "-" : "")
                + digits.charAt(0)
                + (digits.length() > 1 ? "." + digits.substring(1) : "")
                + (exponent < 0 ? "e-" : "e+")
                + (Math.abs(exponent) < 10 ? "0" : "")
                + Math.abs(exponent);
    }

    /** {@code int(text, base)}; null where that is an error. */
    static @org.jspecify.annotations.Nullable Object parseInteger(String text, int base) {
        String digits = PyString.rstrip(PyString.lstrip(text));
        boolean negative = digits.startsWith("-");
        if (negative || digits.startsWith("+")) {
            digits = digits.substring(1);
        }
        String lower = digits.toLowerCase(java.util.Locale.ROOT);
        if ((base == 16 && lower.startsWith("0x"))
                || (base == 8 && lower.startsWith("0o"))
                || (base == 2 && lower.startsWith("0b"))) {
            digits = digits.substring(2);
        }
        if (digits.isEmpty() || digits.length() > 4300 || !Character.isLetterOrDigit(digits.charAt(0))) {
            return null;
        }
        try {
            BigInteger value = new BigInteger(digits.replace("_", ""), base);
            return normal(negative ? value.negate() : value);
        } catch (NumberFormatException e) {
            return null;
        }
    }

    /** {@code float(text)}; null where that is an error. */
    static @org.jspecify.annotations.Nullable Double parseReal(String text) {
        String digits = PyString.rstrip(PyString.lstrip(text)).toLowerCase(java.util.Locale.ROOT);
        String unsigned = digits.startsWith("-") || digits.startsWith("+") ? digits.substring(1) : digits;
        boolean negative = digits.startsWith("-");
        if (unsigned.equals("inf") || unsigned.equals("infinity")) {
            return negative ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
        }
        if (unsigned.equals("nan")) {
            return Double.NaN;
        }
        if (unsigned.length() > 4300
                || !unsigned.matches("(?:[0-9][0-9_]*\\.?[0-9_]*|\\.[0-9][0-9_]*)(?:e[+-]?[0-9]+)?")) {
            return null;
        }
        return Double.parseDouble(digits.replace("_", ""));
    }

    /** A double rounded half to even at so many digits, as Python's {@code round}. */
    static double round(double value, int digits, RoundingMode mode) {
        if (Double.isNaN(value) || Double.isInfinite(value) || Math.abs(digits) > 400) {
            return value;
        }
        return new BigDecimal(value).setScale(digits, mode).doubleValue();
    }
}
