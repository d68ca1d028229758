package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Stmt.Target;
import io.millrace.worker.text.jinja.Values.Namespace;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Executes statements. One rendering; not thread-safe. */
final class Renderer {

    /** How a list of statements ended. */
    private enum Flow {
        NORMAL,
        BREAK,
        CONTINUE
    }

    private final Budget budget;
    private final Evaluator evaluator;

    Renderer(Budget budget) {
        this.budget = budget;
        this.evaluator = new Evaluator(budget);
    }

    /** The text of statements in a scope. */
    String render(List<Stmt> body, Scope scope) {
        StringBuilder out = new StringBuilder();
        run(body, scope, out);
        return out.toString();
    }

    private Flow run(List<Stmt> body, Scope scope, StringBuilder out) {
        for (Stmt stmt : body) {
            budget.step();
            Flow flow = run(stmt, scope, out);
            if (flow != Flow.NORMAL) {
                return flow;
            }
        }
        return Flow.NORMAL;
    }

    private Flow run(Stmt stmt, Scope scope, StringBuilder out) {
        switch (stmt) {
            case Stmt.Text text -> write(out, text.text());
            case Stmt.Output output -> write(out, Py.string(evaluator.evaluate(output.value(), scope)));
            case Stmt.If conditional -> {
                return conditional(conditional, scope, out);
            }
            case Stmt.For loop -> loop(loop, evaluator.evaluate(loop.items(), scope), scope, 1, out);
            case Stmt.Assign assign -> assign(assign.target(), evaluator.evaluate(assign.value(), scope), scope);
            case Stmt.AssignBlock block -> assignBlock(block, scope);
            case Stmt.MacroDefinition macro ->
                scope.set(macro.signature().name(), new Macro(this, macro.signature(), macro.body(), scope));
            case Stmt.CallBlock call -> callBlock(call, scope, out);
            case Stmt.FilterBlock filter ->
                write(
                        out,
                        Py.string(evaluator.filterChain(
                                filter.filter(), render(filter.body(), new Scope(scope)), scope)));
            case Stmt.With with -> {
                Scope inner = new Scope(scope);
                for (int i = 0; i < with.targets().size(); i++) {
                    assign(
                            with.targets().get(i),
                            evaluator.evaluate(with.values().get(i), scope),
                            inner);
                }
                return run(with.body(), inner, out);
            }
            case Stmt.Scoped scoped -> run(scoped.body(), new Scope(scope), out);
            case Stmt.Break b -> {
                return Flow.BREAK;
            }
            case Stmt.Continue c -> {
                return Flow.CONTINUE;
            }
        }
        return Flow.NORMAL;
    }

    private void write(StringBuilder out, String text) {
        budget.allocate(text.length());
        budget.length(out.length() + (long) text.length());
        out.append(text);
    }

    private Flow conditional(Stmt.If conditional, Scope scope, StringBuilder out) {
        for (Stmt.Branch branch : conditional.branches()) {
            if (Py.truth(evaluator.evaluate(branch.test(), scope))) {
                return run(branch.body(), scope, out);
            }
        }
        return run(conditional.otherwise(), scope, out);
    }

    /** @param depth of a recursive loop, from 1 */
    private void loop(Stmt.For loop, Object iterable, Scope scope, int depth, StringBuilder out) {
        budget.work(iterable);
        List<Object> items = selected(loop, Py.iterate(iterable), scope);
        if (items.isEmpty()) {
            run(loop.otherwise(), new Scope(scope), out);
            return;
        }
        LoopContext context = new LoopContext(items, depth, arguments -> {
            if (!loop.recursive()) {
                throw TemplateException.runtime("The loop must have the 'recursive' marker to be called recursively.");
            }
            budget.enter();
            StringBuilder inner = new StringBuilder();
            loop(loop, arguments.required(0, "iterable"), scope, depth + 1, inner);
            budget.leave();
            return inner.toString();
        });
        for (int i = 0; i < items.size(); i++) {
            budget.step();
            context.moveTo(i);
            Scope inner = new Scope(scope);
            inner.set("loop", context);
            assign(loop.target(), items.get(i), inner);
            if (run(loop.body(), inner, out) == Flow.BREAK) {
                break;
            }
        }
    }

    private List<Object> selected(Stmt.For loop, List<Object> items, Scope scope) {
        Expr test = loop.test();
        if (test == null) {
            return items;
        }
        List<Object> selected = new ArrayList<>();
        for (Object item : items) {
            Scope inner = new Scope(scope);
            assign(loop.target(), item, inner);
            if (Py.truth(evaluator.evaluate(test, inner))) {
                selected.add(item);
            }
        }
        return selected;
    }

    private void assignBlock(Stmt.AssignBlock block, Scope scope) {
        Object value = render(block.body(), new Scope(scope));
        if (block.filter() != null) {
            value = evaluator.filterChain(block.filter(), value, scope);
        }
        assign(block.target(), value, scope);
    }

    private void callBlock(Stmt.CallBlock block, Scope scope, StringBuilder out) {
        Macro caller = new Macro(this, block.signature(), block.body(), scope);
        Object function = evaluator.evaluate(block.call().function(), scope);
        CallArguments arguments = evaluator.arguments(block.call().arguments(), scope);
        Map<String, Object> named = new java.util.LinkedHashMap<>(arguments.named());
        named.put("caller", caller);
        write(out, Py.string(evaluator.call(function, new CallArguments(arguments.positional(), named, budget))));
    }

    private void assign(Target target, Object value, Scope scope) {
        switch (target) {
            case Target.Variable variable -> scope.set(variable.name(), value);
            case Target.Member member -> {
                Object namespace = scope.get(member.namespace());
                if (!(namespace instanceof Namespace own)) {
                    throw namespace == null
                            ? Undefined.name(member.namespace()).error()
                            : TemplateException.runtime("cannot assign attribute on non-namespace object");
                }
                if (member.attribute().startsWith("_")) {
                    throw new TemplateException(
                            TemplateException.Kind.SECURITY,
                            "access to attribute '" + member.attribute() + "' of 'Namespace' object is unsafe.");
                }
                own.attributes().put(member.attribute(), value);
            }
            case Target.Several several -> {
                List<Object> values = Py.iterate(value);
                if (values.size() != several.targets().size()) {
                    throw Py.undefinedOr(
                            value,
                            (values.size() > several.targets().size() ? "too many" : "not enough")
                                    + " values to unpack (expected "
                                    + several.targets().size() + ", got "
                                    + values.size() + ")");
                }
                for (int i = 0; i < values.size(); i++) {
                    assign(several.targets().get(i), values.get(i), scope);
                }
            }
        }
    }

    /** A macro's text. */
    String callMacro(Macro macro, CallArguments arguments) {
        budget.enter();
        Scope scope = new Scope(macro.definedIn());
        List<Stmt.Parameter> parameters = macro.signature().parameters();
        for (int i = 0; i < parameters.size(); i++) {
            Stmt.Parameter parameter = parameters.get(i);
            Object value = i < arguments.positional().size()
                    ? arguments.positional().get(i)
                    : arguments.named().get(parameter.name());
            if (value == null) {
                value = parameter.standard() == null
                        ? new Undefined("parameter '" + parameter.name() + "' was not provided", false)
                        : evaluator.evaluate(parameter.standard(), scope);
            }
            scope.set(parameter.name(), value);
        }
        bindRest(macro, arguments, scope);
        String text = render(macro.body(), scope);
        budget.leave();
        return text;
    }

    private static void bindRest(Macro macro, CallArguments arguments, Scope scope) {
        Stmt.Signature signature = macro.signature();
        int n = signature.parameters().size();
        List<Object> positional = arguments.positional();
        Map<Object, Object> named = new java.util.LinkedHashMap<>(arguments.named());
        signature.parameters().forEach(parameter -> named.remove(parameter.name()));
        Object caller = named.remove("caller");
        scope.set("caller", caller == null ? Undefined.name("caller") : caller);
        if (positional.size() > n && !signature.varargs()) {
            throw TemplateException.runtime(
                    "macro '" + signature.name() + "' takes not more than " + n + " argument(s)");
        }
        if (!named.isEmpty() && !signature.kwargs()) {
            throw TemplateException.runtime("macro '" + signature.name() + "' takes no keyword argument '"
                    + named.keySet().iterator().next() + "'");
        }
        scope.set("varargs", new Values.Tuple(positional.subList(Math.min(n, positional.size()), positional.size())));
        scope.set("kwargs", named);
    }
}
