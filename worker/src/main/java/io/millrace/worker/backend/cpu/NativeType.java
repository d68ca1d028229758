package io.millrace.worker.backend.cpu;

import io.millrace.worker.model.weights.DType;
import java.util.Optional;

/** Stored types that the kernels read as they are. Numbers in the C ABI are the ordinals. */
enum NativeType {
    F32(DType.F32),
    F16(DType.F16),
    BF16(DType.BF16),
    Q4_0(DType.Q4_0),
    Q4_1(DType.Q4_1),
    Q5_0(DType.Q5_0),
    Q5_1(DType.Q5_1),
    Q8_0(DType.Q8_0),
    Q2_K(DType.Q2_K),
    Q3_K(DType.Q3_K),
    Q4_K(DType.Q4_K),
    Q5_K(DType.Q5_K),
    Q6_K(DType.Q6_K),
    IQ4_NL(DType.IQ4_NL),
    IQ4_XS(DType.IQ4_XS);

    private final DType dtype;

    NativeType(DType dtype) {
        this.dtype = dtype;
    }

    /** As in {@code millrace.h}. */
    int number() {
        return ordinal();
    }

    /** The one for a stored type, if the kernels know it. */
    static Optional<NativeType> of(DType dtype) {
        for (NativeType type : values()) {
            if (type.dtype == dtype) {
                return Optional.of(type);
            }
        }
        return Optional.empty();
    }
}
