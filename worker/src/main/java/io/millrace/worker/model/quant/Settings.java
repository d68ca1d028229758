package io.millrace.worker.model.quant;

import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** The {@code quantization_config} of a checkpoint, read with checks; a key may have an older name. */
record Settings(JsonNode root, QuantErrors errors) {

    private static final int MAX_SHOWN = 60;

    /** The first of the keys that is there and not null. */
    private @Nullable String key(String... keys) {
        for (String key : keys) {
            if (root.hasNonNull(key)) {
                return key;
            }
        }
        return null;
    }

    int integer(int otherwise, String... keys) {
        String key = key(keys);
        if (key == null) {
            return otherwise;
        }
        JsonNode node = root.get(key);
        if (!node.isIntegralNumber() || !node.canConvertToInt()) {
            throw errors.config(key, "is " + shown(node) + " where a whole number is needed");
        }
        return node.intValue();
    }

    String text(String otherwise, String... keys) {
        String key = key(keys);
        if (key == null) {
            return otherwise;
        }
        JsonNode node = root.get(key);
        if (!node.isString()) {
            throw errors.config(key, "is " + shown(node) + " where a text is needed");
        }
        return node.stringValue();
    }

    boolean flag(String key, boolean otherwise) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return otherwise;
        }
        if (!node.isBoolean()) {
            throw errors.config(key, "is " + shown(node) + " where true or false is needed");
        }
        return node.booleanValue();
    }

    /** -1 means a whole row and stays -1; everything else that the config says must be positive. */
    int groupSize(int otherwise, String... keys) {
        int size = integer(otherwise, keys);
        if (size < -1 || size == 0 && key(keys) != null) {
            throw errors.config(keys[0], "is " + size + " where a positive number is needed, or -1 for whole rows");
        }
        return size;
    }

    /** Two positive numbers; null when there are none. */
    int @Nullable [] pair(String key) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return null;
        }
        if (!node.isArray() || node.size() != 2 || !positive(node.get(0)) || !positive(node.get(1))) {
            throw errors.config(key, "is " + shown(node) + " where two positive numbers are needed");
        }
        return new int[] {node.get(0).intValue(), node.get(1).intValue()};
    }

    private static boolean positive(JsonNode node) {
        return node.isIntegralNumber() && node.canConvertToInt() && node.intValue() > 0;
    }

    static String shown(JsonNode node) {
        String text = node.toString();
        return text.length() > MAX_SHOWN ? text.substring(0, MAX_SHOWN) + "…" : text;
    }
}
