package io.millrace.worker.text.jinja;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Expressions. */
sealed interface Expr {

    record Const(Object value) implements Expr {}

    record Name(String name) implements Expr {}

    record ListOf(List<Expr> items) implements Expr {}

    record TupleOf(List<Expr> items) implements Expr {}

    record DictOf(List<Expr> keys, List<Expr> values) implements Expr {}

    /** One of + and -. */
    record Sign(boolean negative, Expr operand) implements Expr {}

    record Not(Expr operand) implements Expr {}

    record And(Expr left, Expr right) implements Expr {}

    record Or(Expr left, Expr right) implements Expr {}

    /** One of + - * / // % **. */
    record Arithmetic(String operator, Expr left, Expr right) implements Expr {}

    record Concat(List<Expr> parts) implements Expr {}

    /** A chain: operators are == != < <= > >= in, "not in". */
    record Compare(Expr first, List<String> operators, List<Expr> operands) implements Expr {}

    record Conditional(Expr test, Expr then, @Nullable Expr otherwise) implements Expr {}

    record Attribute(Expr target, String name) implements Expr {}

    record Item(Expr target, Expr key) implements Expr {}

    record Slice(
            @Nullable Expr start,
            @Nullable Expr stop,
            @Nullable Expr step) implements Expr {}

    record Call(Expr function, Arguments arguments) implements Expr {}

    /** @param target null at the head of a filter block */
    record Filter(@Nullable Expr target, String name, Arguments arguments) implements Expr {}

    record Test(Expr target, String name, Arguments arguments, boolean negated) implements Expr {}

    /** What stands in the parentheses of a call. */
    record Arguments(
            List<Expr> positional,
            List<Named> named,
            @Nullable Expr list,
            @Nullable Expr dict) {
        static final Arguments NONE = new Arguments(List.of(), List.of(), null, null);
    }

    record Named(String name, Expr value) {}
}
