package io.millrace.worker.backend;

import io.millrace.shared.error.MillraceException;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** In what keys and values are kept in the KV cache. */
public enum KvType {
    F32(4, 0),
    F16(2, 0),
    BF16(2, 0),
    /** Signed bytes, and a float32 factor for each head's key and value of a token. */
    INT8(1, 4),
    /** Floats of 8 bits (e4m3), and factors as {@link #INT8} has them; on CUDA devices. */
    FP8(1, 4);

    private final int valueBytes;
    private final int factorBytes;

    KvType(int valueBytes, int factorBytes) {
        this.valueBytes = valueBytes;
        this.factorBytes = factorBytes;
    }

    /** Bytes of a head's key or value of one token. */
    public long bytes(int values) {
        return (long) values * valueBytes + (values > 0 ? factorBytes : 0);
    }

    /** As in {@code int8}. */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** The type of that label; MR-SERVE-010 when there is none. */
    public static KvType of(String label) {
        for (KvType type : values()) {
            if (type.label().equals(label)) {
                return type;
            }
        }
        throw new MillraceException(
                "MR-SERVE-010",
                "kv-dtype is " + label + ". Choose "
                        + Arrays.stream(values()).map(KvType::label).collect(Collectors.joining(", ")) + ".");
    }
}
