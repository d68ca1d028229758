package io.millrace.worker.backend.torch;

import io.millrace.worker.program.Op;

/**
 * The geometry of attention.
 *
 * @param keyDim of a query and a key
 * @param valueDim of what is weighted
 */
record Heads(int heads, int kvHeads, int keyDim, int valueDim, float scale, float softCap) {

    static Heads of(Op.Attention op) {
        return new Heads(op.heads(), op.kvHeads(), op.keyDim(), op.valueDim(), op.scale(), op.softCap());
    }

    /** Queries multiplied into the latents: all heads look at one cached row. */
    static Heads of(Op.LatentAttention op) {
        return new Heads(op.heads(), 1, op.kvRank(), op.kvRank(), op.scale(), 0);
    }

    int groupSize() {
        return heads / kvHeads;
    }
}
