package io.millrace.worker.text.jinja;

/** Counts what a rendering has used. Not thread-safe. */
final class Budget {

    private static final int DEPTH_MAX = 120;

    private final TemplateLimits limits;
    private long steps;
    private long allocated;
    private int depth;

    Budget(TemplateLimits limits) {
        this.limits = limits;
    }

    void step() {
        steps(1);
    }

    /** Work that is proportional to the size of a value counts as more than one step. */
    void work(Object value) {
        switch (value) {
            case String text -> steps(text.length() >> 6);
            case Values.Markup markup -> steps(markup.text().length() >> 6);
            case java.util.Collection<?> items -> steps(items.size() >> 3);
            case java.util.Map<?, ?> map -> steps(map.size() >> 3);
            case Values.Tuple tuple -> steps(tuple.items().size() >> 3);
            case Values.Range range -> steps(range.length() >> 3);
            default -> {}
        }
    }

    /** A value that a call has made. */
    Object made(Object value) {
        switch (value) {
            case String text -> allocate(text.length());
            case Values.Markup markup -> allocate(markup.text().length());
            case java.util.Collection<?> items -> allocateItems(items.size());
            default -> {}
        }
        return value;
    }

    /** Before a list of this length is made: an element takes the room of several characters. */
    void allocateItems(long count) {
        allocate(count > Long.MAX_VALUE >> 3 ? Long.MAX_VALUE >> 1 : count << 3);
    }

    private void steps(long count) {
        steps += count;
        if (steps > limits.stepsMax()) {
            throw new TemplateException(
                    TemplateException.Kind.LIMIT,
                    "The chat template took more than " + limits.stepsMax() + " steps; it seems to loop.");
        }
    }

    /** Before a string or list of this length is made. */
    void allocate(long length) {
        allocated += Math.min(length, limits.allocationMax() + 1);
        if (length > limits.outputCharsMax() || allocated > limits.allocationMax()) {
            throw new TemplateException(
                    TemplateException.Kind.LIMIT,
                    "The chat template makes a text or list of " + length + " elements (" + allocated
                            + " in all); the limits are " + limits.outputCharsMax() + " and " + limits.allocationMax()
                            + ". Shorten the conversation.");
        }
    }

    /** Of a text that grows. */
    void length(long length) {
        if (length > limits.outputCharsMax()) {
            allocate(length);
        }
    }

    /** Macro calls and recursive loops inside each other. */
    void enter() {
        if (++depth > DEPTH_MAX) {
            throw new TemplateException(
                    TemplateException.Kind.LIMIT,
                    "The chat template's macros call each other over " + DEPTH_MAX + " deep.");
        }
    }

    void leave() {
        depth--;
    }
}
