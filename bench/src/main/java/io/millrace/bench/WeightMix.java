package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.util.Arrays;

/** Which type each matrix of a file has: what llama-quantize makes of a model whose output matrix is its embedding. */
enum WeightMix {
    Q4_0(2, Block.Q4_0),
    Q4_1(3, Block.Q4_1),
    Q4_K_M(15, Block.Q4_K),
    Q8_0(7, Block.Q8_0),
    BF16(32, Block.BF16);

    /**
     * A stored type.
     *
     * @param number in GGUF
     * @param halves places of its float16 factors
     */
    enum Block {
        BF16(30, 1, 2, 0f),
        Q4_0(2, 32, 18, 5e-3f, 0),
        Q4_1(3, 32, 20, 5e-3f, 0, 2),
        Q5_0(6, 32, 22, 3e-3f, 0),
        Q8_0(8, 32, 34, 5e-4f, 0),
        Q4_K(12, 256, 144, 1e-4f, 0, 2),
        Q6_K(14, 256, 210, 2e-5f, 208);

        final int number;
        final int values;
        final int bytes;
        final float factor;
        final int[] halves;

        Block(int number, int values, int bytes, float factor, int... halves) {
            this.number = number;
            this.values = values;
            this.bytes = bytes;
            this.factor = factor;
            this.halves = halves;
        }
    }

    private static final int SUPER_BLOCK = 256;

    /** Of the file, in its metadata. */
    final int fileType;

    private final Block block;

    WeightMix(int fileType, Block block) {
        this.fileType = fileType;
        this.block = block;
    }

    /** MR-BENCH-002 when there is none of that name. */
    static WeightMix of(String name) {
        return Arrays.stream(values())
                .filter(mix -> mix.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new MillraceException(
                        "MR-BENCH-002",
                        "There is no type " + name + "; use one of " + Arrays.toString(values()) + "."));
    }

    Block embedding(int columns) {
        if (this == Q8_0 || this == BF16) {
            return block;
        }
        return fitting(Block.Q6_K, columns);
    }

    /** Of a layer's V or down projection, which Q4_K_M keeps finer in half of the layers. */
    Block sensitive(int layer, int layers, int columns) {
        boolean finer = layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
        return fitting(this == Q4_K_M && finer ? Block.Q6_K : block, columns);
    }

    Block other(int columns) {
        return fitting(block, columns);
    }

    private static Block fitting(Block block, int columns) {
        if (columns % SUPER_BLOCK == 0) {
            return block;
        }
        return switch (block) {
            case Q4_K -> Block.Q5_0;
            case Q6_K -> Block.Q8_0;
            default -> block;
        };
    }
}
