package io.millrace.worker.model.config;

import io.millrace.shared.error.MillraceException;

/** The coded errors of configs, and the checks both forms share. */
final class ConfigErrors {

    private static final String ENCODERS = "BertModel, RobertaModel, XLMRobertaModel, NomicBertModel";

    static final int MAX_LAYERS = 4096;
    static final int MAX_SIZE = 1 << 24;
    static final int MAX_EXPERTS = 4096;

    private final String origin;

    ConfigErrors(String origin) {
        this.origin = origin;
    }

    String origin() {
        return origin;
    }

    MillraceException architecture(String name) {
        return new MillraceException(
                "MR-MODEL-001",
                origin + ": architecture " + name + " is not supported; supported: " + Family.supported()
                        + "; for embeddings and scores also " + ENCODERS + ". Choose a model of one of these.");
    }

    MillraceException wrong(String key, String what) {
        return new MillraceException(
                "MR-MODEL-002", origin + ": " + key + " " + what + ". Get the model's file again from its publisher.");
    }

    MillraceException unsupported(String key, String value, String supported) {
        return new MillraceException(
                "MR-MODEL-004",
                origin + ": " + key + " is " + value + ", which is not supported; supported: " + supported + ".");
    }

    /** A size within 1..max. */
    int size(String key, long value, int max) {
        if (value < 1 || value > max) {
            throw wrong(key, "is " + value + " where 1 to " + max + " is possible");
        }
        return (int) value;
    }

    /** Heads divide into groups; the head dimension is even, as rotation needs. */
    void heads(int heads, int kvHeads, int headDim, int ropeDims) {
        if (heads % kvHeads != 0) {
            throw wrong("attention", "has " + heads + " query heads, not a multiple of its " + kvHeads + " KV heads");
        }
        if (ropeDims % 2 != 0 || ropeDims > headDim || ropeDims < 2) {
            throw wrong(
                    "rope",
                    "turns " + ropeDims + " of " + headDim + " dimensions of a head; it must be even and not more");
        }
    }

    /** Tokens can be given to as many experts as there are to choose from. */
    void experts(int count, int active, int groups, int keptGroups) {
        if (count % groups != 0 || keptGroups > groups || active > count / groups * keptGroups) {
            throw wrong(
                    "experts",
                    "cannot be: " + active + " of " + count + " for each token, out of " + keptGroups + " of " + groups
                            + " groups");
        }
    }

    double positive(String key, double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw wrong(key, "is " + value + " where a positive number is needed");
        }
        return value;
    }
}
