package io.millrace.worker.engine;

import io.millrace.worker.backend.ModelRuntime;
import java.util.List;

/** Copies blocks of the KV cache as a step needs it: within the cache, to the host and back. Confined to the engine's thread. */
final class BlockMoves {

    /** One of the ways that a runtime copies blocks. */
    @FunctionalInterface
    private interface Mover {
        void move(int group, int[] from, int[] to);
    }

    private final ModelRuntime runtime;

    BlockMoves(ModelRuntime runtime) {
        this.runtime = runtime;
    }

    /** All that must be done before the step runs. What is read is read before its block is written. */
    void before(Step step) {
        swapOut(step);
        move(step.copies(), runtime::copyBlocks);
        move(step.swapsIn(), runtime::swapIn);
    }

    /** Only what the preempted leave. */
    void swapOut(Step step) {
        move(step.swapsOut(), runtime::swapOut);
    }

    private static void move(KvCache.Copies[] all, Mover mover) {
        for (int g = 0; g < all.length; g++) {
            if (!all[g].from().isEmpty()) {
                mover.move(g, ints(all[g].from()), ints(all[g].to()));
            }
        }
    }

    private static int[] ints(List<Integer> list) {
        return list.stream().mapToInt(Integer::intValue).toArray();
    }
}
