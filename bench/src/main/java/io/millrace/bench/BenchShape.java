package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.util.List;

/**
 * Sizes of a well-known model, whose speed random weights show as well as its own.
 *
 * @param architecture as GGUF names it
 * @param biased whether Q, K and V have biases
 */
record BenchShape(
        String name,
        String architecture,
        int hidden,
        int layers,
        int heads,
        int kvHeads,
        int headDim,
        int wide,
        int vocabulary,
        float ropeBase,
        boolean biased) {

    static final List<BenchShape> ALL = List.of(
            new BenchShape("135M", "llama", 576, 30, 9, 3, 64, 1536, 49152, 100_000, false),
            new BenchShape("0.5B", "qwen2", 896, 24, 14, 2, 64, 4864, 151_936, 1_000_000, true),
            new BenchShape("1B", "llama", 2048, 16, 32, 8, 64, 8192, 128_256, 500_000, false));

    /** MR-BENCH-002 when there is none of that name. */
    static BenchShape of(String name) {
        return ALL.stream()
                .filter(shape -> shape.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new MillraceException(
                        "MR-BENCH-002",
                        "There is no shape " + name + "; use one of "
                                + ALL.stream().map(BenchShape::name).toList() + "."));
    }

    int queries() {
        return heads * headDim;
    }

    int keys() {
        return kvHeads * headDim;
    }
}
