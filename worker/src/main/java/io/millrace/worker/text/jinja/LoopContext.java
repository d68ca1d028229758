package io.millrace.worker.text.jinja;

import io.millrace.worker.text.jinja.Values.Function;
import io.millrace.worker.text.jinja.Values.HasAttributes;
import io.millrace.worker.text.jinja.Values.Method;
import io.millrace.worker.text.jinja.Values.Undefined;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The variable {@code loop}. Calling it runs a recursive loop again. */
final class LoopContext implements Function, HasAttributes {

    private final List<Object> items;
    private final int depth;
    private final Function again;
    private int index;
    private @Nullable Object lastChanged;

    LoopContext(List<Object> items, int depth, Function again) {
        this.items = items;
        this.depth = depth;
        this.again = again;
    }

    void moveTo(int place) {
        index = place;
    }

    @Override
    public Object call(CallArguments arguments) {
        return again.call(arguments);
    }

    @Override
    public Object attribute(String name) {
        int n = items.size();
        return switch (name) {
            case "index" -> index + 1L;
            case "index0" -> (long) index;
            case "revindex" -> (long) n - index;
            case "revindex0" -> n - index - 1L;
            case "first" -> index == 0;
            case "last" -> index == n - 1;
            case "length" -> (long) n;
            case "depth" -> (long) depth;
            case "depth0" -> depth - 1L;
            case "previtem" -> index > 0 ? items.get(index - 1) : new Undefined("there is no previous item", false);
            case "nextitem" -> index + 1 < n ? items.get(index + 1) : new Undefined("there is no next item", false);
            case "cycle" -> new Method(name, this, this::cycle);
            case "changed" -> new Method(name, this, this::changed);
            default -> new Undefined("'LoopContext object' has no attribute '" + name + "'", false);
        };
    }

    private Object cycle(CallArguments arguments) {
        if (arguments.positional().isEmpty()) {
            throw TemplateException.runtime("no items for cycling given");
        }
        return arguments.positional().get(index % arguments.positional().size());
    }

    private Object changed(CallArguments arguments) {
        Values.Tuple now = new Values.Tuple(arguments.positional());
        boolean changed = lastChanged == null || !Py.equal(lastChanged, now, arguments.budget());
        lastChanged = now;
        return changed;
    }
}
