package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Generator;
import io.millrace.worker.text.jinja.Values.None;
import io.millrace.worker.text.jinja.Values.Tuple;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/** Jinja's filters on sequences. */
final class SequenceFilters {

    static final Set<String> NAMES = Set.of(
            "batch",
            "dictsort",
            "first",
            "groupby",
            "join",
            "last",
            "map",
            "max",
            "min",
            "reject",
            "rejectattr",
            "reverse",
            "select",
            "selectattr",
            "slice",
            "sort",
            "sum",
            "unique");

    private SequenceFilters() {}

    static Object apply(String name, Object value, CallArguments a) {
        return switch (name) {
            case "batch" -> batch(value, a);
            case "dictsort" -> dictSort(value, a);
            case "first" -> first(Py.iterate(value));
            case "last" -> first(Py.iterate(value).reversed());
            case "groupby" -> groupBy(value, a);
            case "join" -> join(value, a);
            case "map" -> map(value, a);
            case "max", "min" -> extreme(value, a, name.equals("max"));
            case "select", "reject" -> select(value, a, name.equals("select"), false);
            case "selectattr", "rejectattr" -> select(value, a, name.equals("selectattr"), true);
            case "reverse" ->
                Py.isString(value)
                        ? new StringBuilder(Py.string(value)).reverse().toString()
                        : new Generator(Py.iterate(value).reversed());
            case "slice" -> slice(value, a);
            case "sort" -> sort(value, a);
            case "sum" -> sum(value, a);
            case "unique" -> unique(value, a);
            default -> throw new IllegalArgumentException(name);
        };
    }

    private static Object first(List<Object> items) {
        return items.isEmpty() ? new Undefined("No first item, sequence was empty.", false) : items.getFirst();
    }

    private static Object batch(Object value, CallArguments a) {
        long size = Math.max(1, Py.toLong(a.required(0, "linecount")));
        List<Object> batches = new ArrayList<>();
        List<Object> batch = new ArrayList<>();
        for (Object item : Py.iterate(value)) {
            if (batch.size() == size) {
                batches.add(batch);
                batch = new ArrayList<>();
            }
            batch.add(item);
        }
        if (!batch.isEmpty()) {
            if (a.isGiven(1, "fill_with")) {
                a.budget().allocateItems(size);
                while (batch.size() < size) {
                    batch.add(a.required(1, "fill_with"));
                }
            }
            batches.add(batch);
        }
        return new Generator(batches);
    }

    private static Object slice(Object value, CallArguments a) {
        List<Object> items = Py.iterate(value);
        int slices = (int) Math.clamp(Py.toLong(a.required(0, "slices")), 1, 100_000);
        int each = items.size() / slices;
        int longer = items.size() % slices;
        List<Object> result = new ArrayList<>();
        int at = 0;
        for (int i = 0; i < slices; i++) {
            int end = at + each + (i < longer ? 1 : 0);
            List<Object> part = new ArrayList<>(items.subList(at, end));
            if (a.isGiven(1, "fill_with") && i >= longer) {
                part.add(a.required(1, "fill_with"));
            }
            result.add(part);
            at = end;
        }
        return new Generator(result);
    }

    /** {@code a.b.0} of an item, as the argument {@code attribute} names it; the item itself for None. */
    private static Function<Object, Object> member(Object attribute) {
        if (attribute == None.NONE) {
            return item -> item;
        }
        List<Object> path = new ArrayList<>();
        if (PyNumber.isInteger(attribute)) {
            path.add(attribute);
        } else {
            for (String part : Py.string(attribute).split("\\.", -1)) {
                path.add(part.matches("[0-9]{1,9}") ? (Object) Long.valueOf(part) : part);
            }
        }
        return item -> {
            Object value = item;
            for (Object part : path) {
                value = Attributes.item(value, part);
            }
            return value;
        };
    }

    private static Object ignoreCase(Object value) {
        return Py.isString(value) ? Py.string(value).toLowerCase(Locale.ROOT) : value;
    }

    private static Comparator<Object> order(Function<Object, Object> key, boolean caseSensitive, Budget budget) {
        return (x, y) -> {
            Object a = key.apply(x);
            Object b = key.apply(y);
            return Py.compare(caseSensitive ? a : ignoreCase(a), caseSensitive ? b : ignoreCase(b), "<", budget);
        };
    }

    private static Object sort(Object value, CallArguments a) {
        List<Object> sorted = new ArrayList<>(Py.iterate(value));
        Object attribute = a.get(2, "attribute", None.NONE);
        Comparator<Object> order = order(item -> item, a.truth(1, "case_sensitive", false), a.budget());
        if (attribute != None.NONE) {
            order = null;
            for (String one : Py.string(attribute).split(",")) {
                Comparator<Object> next = order(member(one), a.truth(1, "case_sensitive", false), a.budget());
                order = order == null ? next : order.thenComparing(next);
            }
        }
        sorted.sort(a.truth(0, "reverse", false) ? java.util.Collections.reverseOrder(order) : order);
        return sorted;
    }

    private static Object dictSort(Object value, CallArguments a) {
        if (!(value instanceof Map<?, ?> map)) {
            throw Py.undefinedOr(value, "'" + Py.typeName(value) + "' object has no attribute 'items'");
        }
        String by = a.string(1, "by", "key");
        if (!by.equals("key") && !by.equals("value")) {
            throw TemplateException.runtime("You can only sort by either \"key\" or \"value\"");
        }
        int place = by.equals("key") ? 0 : 1;
        List<Object> items = Attributes.items(map);
        Comparator<Object> order =
                order(item -> ((Tuple) item).items().get(place), a.truth(0, "case_sensitive", false), a.budget());
        items.sort(a.truth(2, "reverse", false) ? order.reversed() : order);
        return items;
    }

    private static Object groupBy(Object value, CallArguments a) {
        Object standard = a.get(1, "default", None.NONE);
        boolean caseSensitive = a.truth(2, "case_sensitive", false);
        Function<Object, Object> member = member(a.required(0, "attribute"));
        Function<Object, Object> key = item -> {
            Object own = member.apply(item);
            return own instanceof Undefined && standard != None.NONE ? standard : own;
        };
        List<Object> sorted = new ArrayList<>(Py.iterate(value));
        sorted.sort(order(key, caseSensitive, a.budget()));
        List<Object> groups = new ArrayList<>();
        List<Object> group = List.of();
        for (Object item : sorted) {
            Object own = key.apply(item);
            boolean same =
                    !group.isEmpty() && order(key, caseSensitive, a.budget()).compare(group.getFirst(), item) == 0;
            if (!same) {
                group = new ArrayList<>();
                groups.add(new Tuple(List.of(own, group), List.of("grouper", "list")));
            }
            group.add(item);
        }
        return groups;
    }

    private static Object join(Object value, CallArguments a) {
        String separator = a.string(0, "d", "");
        Function<Object, Object> member = member(a.get(1, "attribute", None.NONE));
        StringBuilder out = new StringBuilder();
        boolean first = true;
        for (Object item : Py.iterate(value)) {
            String piece = Py.string(member.apply(item));
            a.budget().length(out.length() + (long) piece.length() + separator.length());
            out.append(first ? "" : separator).append(piece);
            first = false;
        }
        return out.toString();
    }

    private static Object map(Object value, CallArguments a) {
        List<Object> mapped = new ArrayList<>();
        Function<Object, Object> function;
        if (a.positional().isEmpty() && a.named().containsKey("attribute")) {
            Object standard = a.get(9, "default", None.NONE);
            Function<Object, Object> member = member(a.required(9, "attribute"));
            function = item -> {
                Object own = member.apply(item);
                return own instanceof Undefined && standard != None.NONE ? standard : own;
            };
        } else {
            String name = a.requiredString(0, "filter");
            if (!Filters.exists(name)) {
                throw TemplateException.runtime("No filter named '" + name + "'.");
            }
            CallArguments rest = rest(a, 1);
            function = item -> Filters.apply(name, item, rest);
        }
        for (Object item : Py.truth(value) ? Py.iterate(value) : List.of()) {
            a.budget().step();
            a.budget().work(item);
            mapped.add(a.budget().made(function.apply(item)));
        }
        return new Generator(mapped);
    }

    private static CallArguments rest(CallArguments a, int from) {
        return new CallArguments(
                a.positional()
                        .subList(
                                Math.min(from, a.positional().size()),
                                a.positional().size()),
                a.named(),
                a.budget());
    }

    private static Object select(Object value, CallArguments a, boolean keep, boolean byMember) {
        Function<Object, Object> member = byMember ? member(a.required(0, "attribute")) : item -> item;
        int testAt = byMember ? 1 : 0;
        boolean hasTest = a.positional().size() > testAt;
        String test = hasTest ? a.requiredString(testAt, "test") : "";
        if (hasTest && !Tests.exists(test)) {
            throw TemplateException.runtime("No test named '" + test + "'.");
        }
        CallArguments rest = rest(a, testAt + 1);
        List<Object> selected = new ArrayList<>();
        for (Object item : Py.truth(value) ? Py.iterate(value) : List.of()) {
            a.budget().step();
            Object own = member.apply(item);
            a.budget().work(own);
            if ((hasTest ? Tests.apply(test, own, rest) : Py.truth(own)) == keep) {
                selected.add(item);
            }
        }
        return new Generator(selected);
    }

    private static Object extreme(Object value, CallArguments a, boolean max) {
        List<Object> items = Py.iterate(value);
        if (items.isEmpty()) {
            return new Undefined("No aggregated item, sequence was empty.", false);
        }
        Comparator<Object> order =
                order(member(a.get(1, "attribute", None.NONE)), a.truth(0, "case_sensitive", false), a.budget());
        Object best = items.getFirst();
        for (Object item : items) {
            int compared = order.compare(item, best);
            if (max ? compared > 0 : compared < 0) {
                best = item;
            }
        }
        return best;
    }

    private static Object sum(Object value, CallArguments a) {
        Function<Object, Object> member = member(a.get(0, "attribute", None.NONE));
        Object sum = a.get(1, "start", 0L);
        for (Object item : Py.iterate(value)) {
            sum = Operators.apply("+", sum, member.apply(item), a.budget());
        }
        return sum;
    }

    private static Object unique(Object value, CallArguments a) {
        boolean caseSensitive = a.truth(0, "case_sensitive", false);
        Function<Object, Object> member = member(a.get(1, "attribute", None.NONE));
        Set<Object> seen = new java.util.HashSet<>();
        List<Object> unique = new ArrayList<>();
        for (Object item : Py.iterate(value)) {
            Object own = member.apply(item);
            if (seen.add(Py.key(caseSensitive ? own : ignoreCase(own)))) {
                unique.add(item);
            }
        }
        return new Generator(unique);
    }
}
