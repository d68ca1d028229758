package io.millrace.worker.text.jinja;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Jinja's expressions, with its precedences: recursive descent. */
final class ExpressionParser {

    private final TokenStream in;

    ExpressionParser(TokenStream in) {
        this.in = in;
    }

    /** With {@code a if b else c}. */
    Expr expression() {
        in.enter();
        int mark = in.unknownMark();
        Expr expr = or();
        while (in.skipName("if")) {
            Expr test = or();
            Expr otherwise = in.skipName("else") ? expression() : null;
            expr = new Expr.Conditional(test, expr, otherwise);
            in.forgiveUnknown(mark);
        }
        in.leave();
        return expr;
    }

    /** One expression, or several with commas: a tuple. {@code end} ends it as well. */
    Expr tuple(boolean conditional, @Nullable String end) {
        List<Expr> items = new ArrayList<>();
        boolean isTuple = false;
        while (true) {
            if (!items.isEmpty() && !isTuple) {
                if (!in.skipOperator(",")) {
                    break;
                }
                isTuple = true;
            } else if (isTuple && !in.skipOperator(",")) {
                break;
            }
            if (isTupleEnd(end)) {
                break;
            }
            items.add(conditional ? expression() : or());
        }
        if (isTuple) {
            return new Expr.TupleOf(items);
        }
        if (items.isEmpty()) {
            throw in.error("Expected an expression, got " + in.current().describe());
        }
        return items.getFirst();
    }

    private boolean isTupleEnd(@Nullable String end) {
        Token token = in.current();
        return token.type() == Token.Type.OUTPUT_END
                || token.type() == Token.Type.BLOCK_END
                || token.isOperator(")")
                || (end != null && token.isName(end));
    }

    /** Without a condition. */
    Expr or() {
        Expr left = and();
        while (in.skipName("or")) {
            left = new Expr.Or(left, and());
        }
        return left;
    }

    private Expr and() {
        Expr left = not();
        while (in.skipName("and")) {
            left = new Expr.And(left, not());
        }
        return left;
    }

    private Expr not() {
        if (in.current().isName("not")) {
            in.next();
            in.enter();
            Expr operand = not();
            in.leave();
            return new Expr.Not(operand);
        }
        return compare();
    }

    private Expr compare() {
        Expr first = sum();
        List<String> operators = new ArrayList<>();
        List<Expr> operands = new ArrayList<>();
        while (true) {
            Token token = in.current();
            if (token.type() == Token.Type.OPERATOR
                    && List.of("==", "!=", "<", "<=", ">", ">=").contains(token.text())) {
                operators.add(in.next().text());
            } else if (token.isName("in")) {
                in.next();
                operators.add("in");
            } else if (token.isName("not") && in.look().isName("in")) {
                in.next();
                in.next();
                operators.add("not in");
            } else {
                break;
            }
            operands.add(sum());
        }
        return operators.isEmpty() ? first : new Expr.Compare(first, operators, operands);
    }

    private Expr sum() {
        Expr left = concat();
        while (in.current().isOperator("+") || in.current().isOperator("-")) {
            left = new Expr.Arithmetic(in.next().text(), left, concat());
        }
        return left;
    }

    private Expr concat() {
        Expr first = product();
        if (!in.current().isOperator("~")) {
            return first;
        }
        List<Expr> parts = new ArrayList<>(List.of(first));
        while (in.skipOperator("~")) {
            parts.add(product());
        }
        return new Expr.Concat(parts);
    }

    private Expr product() {
        Expr left = power();
        while (in.current().type() == Token.Type.OPERATOR
                && List.of("*", "/", "//", "%").contains(in.current().text())) {
            left = new Expr.Arithmetic(in.next().text(), left, power());
        }
        return left;
    }

    private Expr power() {
        Expr left = unary(true);
        while (in.skipOperator("**")) {
            left = new Expr.Arithmetic("**", left, unary(true));
        }
        return left;
    }

    /** Sign, primary, what follows it, and filters and tests unless a sign stands before. */
    Expr unary(boolean withFilter) {
        in.enter();
        Expr expr;
        if (in.current().isOperator("-") || in.current().isOperator("+")) {
            boolean negative = in.next().text().equals("-");
            expr = new Expr.Sign(negative, unary(false));
        } else {
            expr = primary();
        }
        expr = postfix(expr);
        if (withFilter) {
            expr = filters(expr);
        }
        in.leave();
        return expr;
    }

    private Expr primary() {
        Token token = in.next();
        switch (token.type()) {
            case NAME:
                return switch (token.text()) {
                    case "true", "True" -> new Expr.Const(true);
                    case "false", "False" -> new Expr.Const(false);
                    case "none", "None" -> new Expr.Const(Values.None.NONE);
                    default -> new Expr.Name(token.text());
                };
            case STRING:
                StringBuilder text = new StringBuilder(token.text());
                while (in.current().type() == Token.Type.STRING) {
                    text.append(in.next().text());
                }
                return new Expr.Const(text.toString());
            case INTEGER:
                return new Expr.Const(integer(token.text()));
            case FLOAT:
                return new Expr.Const(Double.valueOf(token.text()));
            case OPERATOR:
                return bracket(token);
            default:
                throw TemplateException.syntax("unexpected " + token.describe(), token.line());
        }
    }

    private Object integer(String text) {
        int base = 10;
        String digits = text;
        if (text.length() > 1 && Character.isLetter(text.charAt(1))) {
            base = switch (Character.toLowerCase(text.charAt(1))) {
                case 'x' -> 16;
                case 'o' -> 8;
                default -> 2;
            };
            digits = text.substring(2);
        }
        if (digits.length() > 4300) {
            throw in.error("an integer of " + digits.length() + " digits");
        }
        return PyNumber.normal(new BigInteger(digits, base));
    }

    private Expr bracket(Token open) {
        switch (open.text()) {
            case "(":
                if (in.skipOperator(")")) {
                    return new Expr.TupleOf(List.of());
                }
                Expr inside = tuple(true, null);
                in.expectOperator(")");
                return inside;
            case "[":
                List<Expr> items = new ArrayList<>();
                while (!in.skipOperator("]")) {
                    if (!items.isEmpty()) {
                        in.expectOperator(",");
                        if (in.skipOperator("]")) {
                            break;
                        }
                    }
                    items.add(expression());
                }
                return new Expr.ListOf(items);
            case "{":
                return dict();
            default:
                throw TemplateException.syntax("unexpected '" + open.text() + "'", open.line());
        }
    }

    private Expr dict() {
        List<Expr> keys = new ArrayList<>();
        List<Expr> values = new ArrayList<>();
        while (!in.skipOperator("}")) {
            if (!keys.isEmpty()) {
                in.expectOperator(",");
                if (in.skipOperator("}")) {
                    break;
                }
            }
            keys.add(expression());
            in.expectOperator(":");
            values.add(expression());
        }
        return new Expr.DictOf(keys, values);
    }

    private Expr postfix(Expr target) {
        Expr expr = target;
        while (true) {
            if (in.skipOperator(".")) {
                Token token = in.next();
                if (token.type() == Token.Type.NAME) {
                    expr = new Expr.Attribute(expr, token.text());
                } else if (token.type() == Token.Type.INTEGER) {
                    expr = new Expr.Item(expr, new Expr.Const(integer(token.text())));
                } else {
                    throw TemplateException.syntax("expected name or number", token.line());
                }
            } else if (in.skipOperator("[")) {
                expr = new Expr.Item(expr, subscript());
                in.expectOperator("]");
            } else if (in.current().isOperator("(")) {
                expr = new Expr.Call(expr, arguments());
            } else {
                return expr;
            }
        }
    }

    private Expr subscript() {
        List<Expr> parts = new ArrayList<>();
        boolean tuple = false;
        do {
            if (!parts.isEmpty()) {
                tuple = true;
                if (in.current().isOperator("]")) {
                    break;
                }
            }
            parts.add(subscribed());
        } while (in.skipOperator(","));
        return tuple ? new Expr.TupleOf(parts) : parts.getFirst();
    }

    private Expr subscribed() {
        Expr start = null;
        if (!in.current().isOperator(":")) {
            start = expression();
            if (!in.current().isOperator(":")) {
                return start;
            }
        }
        in.expectOperator(":");
        Expr stop = isSliceEnd() ? null : expression();
        Expr step = null;
        if (in.skipOperator(":") && !isSliceEnd()) {
            step = expression();
        }
        return new Expr.Slice(start, stop, step);
    }

    private boolean isSliceEnd() {
        return in.current().isOperator(":")
                || in.current().isOperator("]")
                || in.current().isOperator(",");
    }

    private Expr filters(Expr target) {
        Expr expr = target;
        while (true) {
            if (in.skipOperator("|")) {
                expr = filter(expr);
            } else if (in.current().isName("is")) {
                in.next();
                expr = test(expr);
            } else if (in.current().isOperator("(")) {
                expr = new Expr.Call(expr, arguments());
            } else {
                return expr;
            }
        }
    }

    /** Name and arguments, behind the bar. */
    Expr.Filter filter(@Nullable Expr target) {
        String name = dotted();
        if (!Filters.exists(name)) {
            in.addUnknown("No filter named '" + name + "'.");
        }
        return new Expr.Filter(target, name, in.current().isOperator("(") ? arguments() : Expr.Arguments.NONE);
    }

    /** One or more filters, each on the one before; the first has no target. */
    Expr.Filter filterChain() {
        Expr.Filter filter = filter(null);
        while (in.skipOperator("|")) {
            filter = filter(filter);
        }
        return filter;
    }

    private String dotted() {
        StringBuilder name = new StringBuilder(in.expectName());
        while (in.skipOperator(".")) {
            name.append('.').append(in.expectName());
        }
        return name.toString();
    }

    private Expr test(Expr target) {
        boolean negated = in.skipName("not");
        String name = dotted();
        Expr.Arguments arguments = Expr.Arguments.NONE;
        Token token = in.current();
        if (token.isOperator("(")) {
            arguments = arguments();
        } else if (beginsArgument(token)) {
            if (token.isName("is")) {
                throw in.error("You cannot chain multiple tests with is");
            }
            arguments = new Expr.Arguments(List.of(postfix(primary())), List.of(), null, null);
        }
        if (!Tests.exists(name)) {
            in.addUnknown("No test named '" + name + "'.");
        }
        return new Expr.Test(target, name, arguments, negated);
    }

    private static boolean beginsArgument(Token token) {
        return switch (token.type()) {
            case NAME ->
                !token.text().equals("else")
                        && !token.text().equals("or")
                        && !token.text().equals("and");
            case STRING, INTEGER, FLOAT -> true;
            case OPERATOR -> token.text().equals("[") || token.text().equals("{");
            default -> false;
        };
    }

    Expr.Arguments arguments() {
        in.expectOperator("(");
        List<Expr> positional = new ArrayList<>();
        List<Expr.Named> named = new ArrayList<>();
        Expr list = null;
        Expr dict = null;
        boolean comma = false;
        while (!in.current().isOperator(")")) {
            if (comma) {
                in.expectOperator(",");
                if (in.current().isOperator(")")) {
                    break;
                }
            }
            comma = true;
            if (in.skipOperator("*")) {
                list = expression();
            } else if (in.skipOperator("**")) {
                dict = expression();
            } else if (in.current().type() == Token.Type.NAME && in.look().isOperator("=")) {
                String name = in.next().text();
                in.next();
                named.add(new Expr.Named(name, expression()));
            } else {
                if (!named.isEmpty() || dict != null) {
                    throw in.error("invalid syntax for function call expression");
                }
                positional.add(expression());
            }
        }
        in.expectOperator(")");
        return new Expr.Arguments(positional, named, list, dict);
    }
}
