package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.worker.backend.OpProbe;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Memory into which the kernels write how long the stages of a step took ({@code mr_stage_time}). Engine's thread. */
final class StageTimes implements AutoCloseable {

    private static final int ROOM = 4_096;
    private static final int OPS_MAX = 16;
    private static final int ROWS_AT = 16;
    private static final int OPS_AT = 20;
    private static final int OP_AT = 24;
    private static final int BYTES = OP_AT + OPS_MAX * Integer.BYTES;

    private final NativeKernels kernels;
    private final long model;
    private final OpProbe probe;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment times = arena.allocate((long) ROOM * BYTES, Long.BYTES);
    private final MemorySegment count = arena.allocate(JAVA_INT);

    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    StageTimes(NativeKernels kernels, long model, OpProbe probe) {
        this.kernels = kernels;
        this.model = model;
        this.probe = probe;
        kernels.profile(model, times, ROOM, count);
    }

    /** Tells the probe of the step that has just run. */
    void tell() {
        for (int i = 0; i < count.get(JAVA_INT, 0); i++) {
            MemorySegment time = times.asSlice((long) i * BYTES, BYTES);
            int[] ops = new int[Math.min(OPS_MAX, time.get(JAVA_INT, OPS_AT))];
            for (int o = 0; o < ops.length; o++) {
                ops[o] = time.get(JAVA_INT, OP_AT + (long) o * Integer.BYTES);
            }
            probe.ran(ops, 0, time.get(JAVA_INT, ROWS_AT), time.get(JAVA_LONG, 0), time.get(JAVA_LONG, Long.BYTES));
        }
    }

    @Override
    public void close() {
        kernels.profile(model, MemorySegment.NULL, 0, MemorySegment.NULL);
        arena.close();
    }
}
