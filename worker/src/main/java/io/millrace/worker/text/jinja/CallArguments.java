package io.millrace.worker.text.jinja;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Evaluated arguments of a call, with access by place or name. */
record CallArguments(List<Object> positional, Map<String, Object> named, Budget budget) {

    /** Null when it was not given. */
    @Nullable
    Object get(int place, String name) {
        return place < positional.size() ? positional.get(place) : named.get(name);
    }

    Object get(int place, String name, Object standard) {
        Object value = get(place, name);
        return value == null ? standard : value;
    }

    Object required(int place, String name) {
        Object value = get(place, name);
        if (value == null) {
            throw TemplateException.runtime("missing argument '" + name + "'");
        }
        return value;
    }

    String string(int place, String name, String standard) {
        Object value = get(place, name);
        return value == null ? standard : Py.string(value);
    }

    /** Must be a string. */
    String requiredString(int place, String name) {
        Object value = required(place, name);
        if (value instanceof String || value instanceof Values.Markup) {
            return Py.string(value);
        }
        throw Py.undefinedOr(value, "argument '" + name + "' must be str, not " + Py.typeName(value));
    }

    long integer(int place, String name, long standard) {
        Object value = get(place, name);
        return value == null ? standard : Py.toLong(value);
    }

    boolean truth(int place, String name, boolean standard) {
        Object value = get(place, name);
        return value == null ? standard : Py.truth(value);
    }

    /** None is left out as well. */
    boolean isGiven(int place, String name) {
        Object value = get(place, name);
        return value != null && value != Values.None.NONE;
    }

    void atMost(int places) {
        if (positional.size() > places) {
            throw TemplateException.runtime("takes at most " + places + " arguments (" + positional.size() + " given)");
        }
    }
}
