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
        if (++steps > limits.stepsMax()) {
            throw new TemplateException(
                    TemplateException.Kind.LIMIT,
                    "The chat template took more than " + limits.stepsMax() + " steps; it seems to loop.");
        }
    }

    /** Before a string or list of this length is made. */
    void allocate(long length) {
        allocated += length;
        if (length > limits.outputCharsMax() || allocated > limits.allocationMax()) {
            throw new TemplateException(
                    TemplateException.Kind.LIMIT,
                    "The chat template makes a text or list of " + length + " elements (" + allocated
                            + " in all); the limits are " + limits.outputCharsMax() + " and " + limits.allocationMax()
                            + ". Shorten the conversation.");
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
