package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Function;
import io.millrace.worker.text.jinja.Values.HasAttributes;
import io.millrace.worker.text.jinja.Values.Method;
import io.millrace.worker.text.jinja.Values.Namespace;
import io.millrace.worker.text.jinja.Values.Tuple;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.time.LocalDateTime;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Functions that every template has. */
final class Globals {

    private Globals() {}

    static void define(Scope scope, LocalDateTime now) {
        scope.set("range", function(Globals::range));
        scope.set("dict", function(Globals::dict));
        scope.set("namespace", function(Globals::namespace));
        scope.set("cycler", function(arguments -> new Cycler(arguments.positional())));
        scope.set("joiner", function(arguments -> new Joiner(arguments.string(0, "sep", ", "))));
        scope.set("raise_exception", function(arguments -> {
            throw new TemplateException(TemplateException.Kind.RAISE, Py.string(arguments.required(0, "message")));
        }));
        scope.set("strftime_now", function(arguments -> Strftime.format(now, arguments.requiredString(0, "format"))));
    }

    private static Function function(Function function) {
        return function;
    }

    private static Object range(CallArguments a) {
        a.atMost(3);
        long first = Py.toLong(a.required(0, "stop"));
        return a.positional().size() < 2
                ? new Values.Range(0, first, 1)
                : new Values.Range(first, a.integer(1, "stop", 0), a.integer(2, "step", 1));
    }

    private static Map<Object, Object> dict(CallArguments a) {
        a.atMost(1);
        Map<Object, Object> map = new LinkedHashMap<>();
        if (!a.positional().isEmpty()) {
            Object from = a.positional().getFirst();
            if (from instanceof Map<?, ?> other) {
                map.putAll(other);
            } else {
                for (Object pair : Py.iterate(from)) {
                    List<Object> two = Py.iterate(pair);
                    if (two.size() != 2) {
                        throw TemplateException.runtime("dictionary update sequence element is no pair");
                    }
                    map.put(Py.key(two.get(0)), two.get(1));
                }
            }
        }
        map.putAll(a.named());
        return map;
    }

    private static Object namespace(CallArguments a) {
        Namespace namespace = new Namespace();
        dict(a).forEach((name, value) -> {
            if (Py.string(name).startsWith("_")) {
                throw new TemplateException(
                        TemplateException.Kind.SECURITY, "a namespace's names may not begin with _: " + name);
            }
            namespace.attributes().put(Py.string(name), value);
        });
        return namespace;
    }

    /** Gives its items in turn. */
    private static final class Cycler implements HasAttributes {
        private final List<Object> items;
        private int at;

        private Cycler(List<Object> items) {
            if (items.isEmpty()) {
                throw TemplateException.runtime("at least one item has to be provided");
            }
            this.items = items;
        }

        @Override
        public Object attribute(String name) {
            return switch (name) {
                case "current" -> items.get(at);
                case "next" ->
                    new Method(name, this, arguments -> {
                        Object current = items.get(at);
                        at = (at + 1) % items.size();
                        return current;
                    });
                case "reset" ->
                    new Method(name, this, arguments -> {
                        at = 0;
                        return Values.None.NONE;
                    });
                case "items" -> new Tuple(items);
                default -> new Undefined("cycler has no attribute '" + name + "'", false);
            };
        }
    }

    /** Nothing the first time, then the separator. */
    private static final class Joiner implements Function {
        private final String separator;
        private boolean used;

        private Joiner(String separator) {
            this.separator = separator;
        }

        @Override
        public Object call(CallArguments arguments) {
            String text = used ? separator : "";
            used = true;
            return text;
        }
    }
}
