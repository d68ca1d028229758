package io.millrace.worker.backend.torch;

import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.backend.KvLayout;

/**
 * K and V of one group of layers: per layer an array [blocks * heads, blockTokens * dim], so that a page of one head lies
 * together and a gather of pages gives [heads, tokens, dim] without another copy. Not thread-safe, except that different rows
 * may be written at once.
 */
final class TorchKvCache {

    private final KvLayout.Group group;
    private final int blockTokens;
    private final PtNDArray[] keys;
    private final PtNDArray[] values;
    private final PtNDArray[] keyRows;
    private final PtNDArray[] valueRows;

    TorchKvCache(PtNDManager manager, KvLayout.Group group, int blockTokens) {
        this.group = group;
        this.blockTokens = blockTokens;
        this.keys = new PtNDArray[group.layers()];
        this.values = new PtNDArray[group.layers()];
        this.keyRows = new PtNDArray[group.layers()];
        this.valueRows = new PtNDArray[group.layers()];
        long pages = (long) group.blocks() * group.heads();
        for (int i = 0; i < keys.length; i++) {
            keys[i] = zeros(manager, pages, (long) blockTokens * group.keyDim());
            values[i] = zeros(manager, pages, (long) blockTokens * group.valueDim());
            keyRows[i] = Pt.shared(Pt.reshape(keys[i], pages * blockTokens, group.keyDim()));
            valueRows[i] = Pt.shared(Pt.reshape(values[i], pages * blockTokens, group.valueDim()));
        }
    }

    private static PtNDArray zeros(PtNDManager manager, long rows, long width) {
        return Pt.shared((PtNDArray) manager.zeros(new Shape(rows, width), DataType.FLOAT32));
    }

    PtNDArray keys(int layer) {
        return keys[layer];
    }

    PtNDArray values(int layer) {
        return values[layer];
    }

    /** Rows of {@link #write}'s index: one for each head of each slot. */
    long[] rowIndex(int[] slots) {
        int heads = group.heads();
        long[] index = new long[slots.length * heads];
        for (int i = 0; i < slots.length; i++) {
            long block = slots[i] / blockTokens;
            int offset = slots[i] % blockTokens;
            for (int h = 0; h < heads; h++) {
                index[i * heads + h] = (block * heads + h) * blockTokens + offset;
            }
        }
        return index;
    }

    /** Writes k [rows, heads * keyDim] and v [rows, heads * valueDim] of a layer. */
    void write(int layer, NDIndex rows, PtNDArray k, PtNDArray v) {
        put(keyRows[layer], rows, k, group.keyDim());
        put(valueRows[layer], rows, v, group.valueDim());
    }

    private static void put(PtNDArray target, NDIndex rows, PtNDArray x, int dim) {
        try (PtNDArray flat = Pt.reshape(x, -1, dim)) {
            JniUtils.indexAdvPut(target, rows, flat);
        }
    }

    /** Copies whole blocks, all reads before all writes. */
    void copy(PtNDManager manager, int[] from, int[] to) {
        try (PtNDArray source = Pt.longs(manager, pages(from));
                PtNDArray target = Pt.longs(manager, pages(to))) {
            NDIndex index = new NDIndex("{}", target);
            for (int layer = 0; layer < keys.length; layer++) {
                try (PtNDArray k = Pt.rows(source, keys[layer]);
                        PtNDArray v = Pt.rows(source, values[layer])) {
                    JniUtils.indexAdvPut(keys[layer], index, k);
                    JniUtils.indexAdvPut(values[layer], index, v);
                }
            }
        }
    }

    private long[] pages(int[] blocks) {
        int heads = group.heads();
        long[] pages = new long[blocks.length * heads];
        for (int i = 0; i < blocks.length; i++) {
            for (int h = 0; h < heads; h++) {
                pages[i * heads + h] = (long) blocks[i] * heads + h;
            }
        }
        return pages;
    }
}
