package io.millrace.worker.text.jinja;

import java.util.List;
import org.jspecify.annotations.Nullable;

/** Statements. */
sealed interface Stmt {

    record Text(String text) implements Stmt {}

    record Output(Expr value) implements Stmt {}

    record For(Target target, Expr items, @Nullable Expr test, List<Stmt> body, List<Stmt> otherwise, boolean recursive)
            implements Stmt {}

    record If(List<Branch> branches, List<Stmt> otherwise) implements Stmt {}

    record Branch(Expr test, List<Stmt> body) {}

    record Assign(Target target, Expr value) implements Stmt {}

    record AssignBlock(Target target, Expr.@Nullable Filter filter, List<Stmt> body) implements Stmt {}

    record MacroDefinition(Signature signature, List<Stmt> body) implements Stmt {}

    /**
     * @param varargs the body uses {@code varargs}, so further arguments are allowed; kwargs likewise
     */
    record Signature(String name, List<Parameter> parameters, boolean varargs, boolean kwargs) {}

    record Parameter(String name, @Nullable Expr standard) {}

    record CallBlock(Signature signature, Expr.Call call, List<Stmt> body) implements Stmt {}

    record FilterBlock(Expr.Filter filter, List<Stmt> body) implements Stmt {}

    record With(List<Target> targets, List<Expr> values, List<Stmt> body) implements Stmt {}

    /** A scope of its own and nothing else: {@code generation}. */
    record Scoped(List<Stmt> body) implements Stmt {}

    record Break() implements Stmt {}

    record Continue() implements Stmt {}

    /** What is assigned to. */
    sealed interface Target {

        record Variable(String name) implements Target {}

        record Member(String namespace, String attribute) implements Target {}

        record Several(List<Target> targets) implements Target {}
    }
}
