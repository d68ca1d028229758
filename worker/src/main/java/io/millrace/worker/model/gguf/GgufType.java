package io.millrace.worker.model.gguf;

import io.millrace.worker.model.weights.DType;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Tensor type numbers of GGUF, as in the specification's {@code ggml_type}. */
final class GgufType {

    private static final Map<Integer, DType> READABLE = Map.ofEntries(
            Map.entry(0, DType.F32),
            Map.entry(1, DType.F16),
            Map.entry(2, DType.Q4_0),
            Map.entry(3, DType.Q4_1),
            Map.entry(6, DType.Q5_0),
            Map.entry(7, DType.Q5_1),
            Map.entry(8, DType.Q8_0),
            Map.entry(10, DType.Q2_K),
            Map.entry(11, DType.Q3_K),
            Map.entry(12, DType.Q4_K),
            Map.entry(13, DType.Q5_K),
            Map.entry(14, DType.Q6_K),
            Map.entry(20, DType.IQ4_NL),
            Map.entry(23, DType.IQ4_XS),
            Map.entry(24, DType.I8),
            Map.entry(25, DType.I16),
            Map.entry(26, DType.I32),
            Map.entry(27, DType.I64),
            Map.entry(28, DType.F64),
            Map.entry(30, DType.BF16));

    private static final Map<Integer, String> OTHERS = Map.ofEntries(
            Map.entry(4, "Q4_2, removed from the format"),
            Map.entry(5, "Q4_3, removed from the format"),
            Map.entry(9, "Q8_1"),
            Map.entry(15, "Q8_K"),
            Map.entry(16, "IQ2_XXS"),
            Map.entry(17, "IQ2_XS"),
            Map.entry(18, "IQ3_XXS"),
            Map.entry(19, "IQ1_S"),
            Map.entry(21, "IQ3_S"),
            Map.entry(22, "IQ2_S"),
            Map.entry(29, "IQ1_M"),
            Map.entry(31, "Q4_0_4_4, removed from the format"),
            Map.entry(32, "Q4_0_4_8, removed from the format"),
            Map.entry(33, "Q4_0_8_8, removed from the format"),
            Map.entry(34, "TQ1_0"),
            Map.entry(35, "TQ2_0"),
            Map.entry(39, "MXFP4"),
            Map.entry(40, "NVFP4"));

    private GgufType() {}

    static @Nullable DType dtype(int id) {
        return READABLE.get(id);
    }

    /** "16 (IQ2_XXS)", or "199 (not a type of the format)". */
    static String describe(int id) {
        String name = OTHERS.getOrDefault(id, "not a type of the format");
        return Integer.toUnsignedString(id) + " (" + name + ")";
    }
}
