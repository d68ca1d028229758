package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Undefined;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Values of expressions. Not thread-safe. */
final class Evaluator {

    private final Budget budget;

    Evaluator(Budget budget) {
        this.budget = budget;
    }

    Object evaluate(Expr expr, Scope scope) {
        budget.step();
        return switch (expr) {
            case Expr.Const constant -> constant.value();
            case Expr.Name name -> {
                Object value = scope.get(name.name());
                yield value == null ? Undefined.name(name.name()) : value;
            }
            case Expr.Attribute attribute ->
                Attributes.attribute(evaluate(attribute.target(), scope), attribute.name());
            case Expr.Item item -> item(item, scope);
            case Expr.Call call -> call(call, scope);
            case Expr.Filter filter -> filter(filter, evaluate(target(filter), scope), scope);
            case Expr.Test test -> test(test, scope);
            case Expr.And and -> {
                Object left = evaluate(and.left(), scope);
                yield Py.truth(left) ? evaluate(and.right(), scope) : left;
            }
            case Expr.Or or -> {
                Object left = evaluate(or.left(), scope);
                yield Py.truth(left) ? left : evaluate(or.right(), scope);
            }
            case Expr.Not not -> !Py.truth(evaluate(not.operand(), scope));
            case Expr.Compare compare -> compare(compare, scope);
            case Expr.Conditional conditional -> conditional(conditional, scope);
            case Expr.Arithmetic arithmetic ->
                Operators.apply(
                        arithmetic.operator(),
                        evaluate(arithmetic.left(), scope),
                        evaluate(arithmetic.right(), scope),
                        budget);
            case Expr.Concat concat -> concat(concat, scope);
            case Expr.Sign sign -> sign(sign, scope);
            case Expr.ListOf list -> all(list.items(), scope);
            case Expr.TupleOf tuple -> new Values.Tuple(all(tuple.items(), scope));
            case Expr.DictOf dict -> dict(dict, scope);
            case Expr.Slice slice -> throw TemplateException.runtime("a slice stands only in brackets");
        };
    }

    private static Expr target(Expr.Filter filter) {
        if (filter.target() == null) {
            throw new IllegalStateException("the filter of a block has no target");
        }
        return filter.target();
    }

    private List<Object> all(List<Expr> expressions, Scope scope) {
        budget.allocateItems(expressions.size());
        List<Object> values = new ArrayList<>(expressions.size());
        for (Expr expr : expressions) {
            values.add(evaluate(expr, scope));
        }
        return values;
    }

    private Object dict(Expr.DictOf dict, Scope scope) {
        Map<Object, Object> map = new LinkedHashMap<>();
        for (int i = 0; i < dict.keys().size(); i++) {
            Object key = evaluate(dict.keys().get(i), scope);
            Object value = evaluate(dict.values().get(i), scope);
            // The key of a literal is printed as it was written.
            map.put(key instanceof Double ? key : Py.key(key), value);
        }
        budget.allocateItems(map.size());
        return map;
    }

    private Object conditional(Expr.Conditional conditional, Scope scope) {
        if (Py.truth(evaluate(conditional.test(), scope))) {
            return evaluate(conditional.then(), scope);
        }
        Expr otherwise = conditional.otherwise();
        return otherwise != null
                ? evaluate(otherwise, scope)
                : new Undefined("the inline if-expression evaluated to false and no else section was defined.", false);
    }

    private Object concat(Expr.Concat concat, Scope scope) {
        StringBuilder text = new StringBuilder();
        for (Expr part : concat.parts()) {
            String piece = Py.string(evaluate(part, scope));
            budget.allocate(text.length() + (long) piece.length());
            text.append(piece);
        }
        return text.toString();
    }

    private Object sign(Expr.Sign sign, Scope scope) {
        Object value = evaluate(sign.operand(), scope);
        if (sign.negative()) {
            return PyNumber.negate(value);
        }
        if (!PyNumber.isNumber(value)) {
            throw Py.undefinedOr(value, "bad operand type for unary +: '" + Py.typeName(value) + "'");
        }
        return value instanceof Boolean ? PyNumber.normal(PyNumber.big(value)) : value;
    }

    private Object compare(Expr.Compare compare, Scope scope) {
        Object left = evaluate(compare.first(), scope);
        for (int i = 0; i < compare.operators().size(); i++) {
            Object right = evaluate(compare.operands().get(i), scope);
            if (!Operators.compare(compare.operators().get(i), left, right, budget)) {
                return false;
            }
            left = right;
        }
        return true;
    }

    private Object item(Expr.Item item, Scope scope) {
        Object target = evaluate(item.target(), scope);
        if (item.key() instanceof Expr.Slice slice) {
            return Operators.slice(
                    target,
                    slice.start() == null ? Values.None.NONE : evaluate(slice.start(), scope),
                    slice.stop() == null ? Values.None.NONE : evaluate(slice.stop(), scope),
                    slice.step() == null ? Values.None.NONE : evaluate(slice.step(), scope),
                    budget);
        }
        budget.work(target);
        return Attributes.item(target, evaluate(item.key(), scope));
    }

    Object call(Expr.Call call, Scope scope) {
        Object function = evaluate(call.function(), scope);
        return call(function, arguments(call.arguments(), scope));
    }

    Object call(Object function, CallArguments arguments) {
        if (function instanceof Values.Function callable) {
            if (callable instanceof Values.Method method) {
                budget.work(method.receiver());
            }
            return budget.made(callable.call(arguments));
        }
        throw Py.undefinedOr(function, "'" + Py.typeName(function) + "' object is not callable");
    }

    /** A filter's value for a target that is already known. */
    Object filter(Expr.Filter filter, Object target, Scope scope) {
        budget.work(target);
        return budget.made(Filters.apply(filter.name(), target, arguments(filter.arguments(), scope)));
    }

    /** As {@link #filter}, for a chain whose innermost filter has no target. */
    Object filterChain(Expr.Filter filter, Object target, Scope scope) {
        Object inner = filter.target() instanceof Expr.Filter before ? filterChain(before, target, scope) : target;
        return filter(filter, inner, scope);
    }

    private Object test(Expr.Test test, Scope scope) {
        Object target = evaluate(test.target(), scope);
        return Tests.apply(test.name(), target, arguments(test.arguments(), scope)) != test.negated();
    }

    CallArguments arguments(Expr.Arguments arguments, Scope scope) {
        List<Object> positional = new ArrayList<>(arguments.positional().size());
        for (Expr expr : arguments.positional()) {
            positional.add(evaluate(expr, scope));
        }
        Map<String, Object> named =
                arguments.named().isEmpty() && arguments.dict() == null ? Map.of() : new LinkedHashMap<>();
        for (Expr.Named argument : arguments.named()) {
            if (named.put(argument.name(), evaluate(argument.value(), scope)) != null) {
                throw TemplateException.runtime("keyword argument repeated: " + argument.name());
            }
        }
        if (arguments.list() != null) {
            positional.addAll(Py.iterate(evaluate(arguments.list(), scope)));
        }
        if (arguments.dict() != null) {
            if (!(evaluate(arguments.dict(), scope) instanceof Map<?, ?> more)) {
                throw TemplateException.runtime("argument after ** must be a mapping");
            }
            more.forEach((key, value) -> named.put(Py.string(key), value));
        }
        return new CallArguments(positional, named, budget);
    }
}
