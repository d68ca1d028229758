package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.millrace.worker.backend.OpProbe;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Memory into which the kernels write how long the stages of a step took ({@code mr_stage_time}). Engine's thread. */
final class StageTimes implements AutoCloseable {

    private static final int ROOM = 4_096;
    private static final long BEGIN = Structs.at(Structs.STAGE_TIME, "begin_ns");
    private static final long NANOS = Structs.at(Structs.STAGE_TIME, "nanos");
    private static final long ROWS = Structs.at(Structs.STAGE_TIME, "rows");
    private static final long OPS = Structs.at(Structs.STAGE_TIME, "ops");
    private static final long OP = Structs.at(Structs.STAGE_TIME, "op");
    private static final long BYTES = Structs.STAGE_TIME.byteSize();

    private final NativeKernels kernels;
    private final long model;
    private final OpProbe probe;
    private final Arena arena = Arena.ofShared();
    private final MemorySegment times = arena.allocate(Structs.STAGE_TIME, ROOM);
    private final MemorySegment count = arena.allocate(JAVA_INT);

    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    StageTimes(NativeKernels kernels, long model, OpProbe probe) {
        this.kernels = kernels;
        this.model = model;
        this.probe = probe;
        try {
            kernels.profile(model, times, ROOM, count);
        } catch (RuntimeException e) {
            arena.close();
            throw e;
        }
    }

    /** Tells the probe of the step that has just run. */
    void tell() {
        for (int i = 0; i < count.get(JAVA_INT, 0); i++) {
            MemorySegment time = times.asSlice(i * BYTES, BYTES);
            int[] ops = new int[Math.min(Structs.STAGE_OPS, time.get(JAVA_INT, OPS))];
            for (int o = 0; o < ops.length; o++) {
                ops[o] = time.get(JAVA_INT, OP + (long) o * Integer.BYTES);
            }
            probe.ran(ops, 0, time.get(JAVA_INT, ROWS), time.get(JAVA_LONG, BEGIN), time.get(JAVA_LONG, NANOS));
        }
    }

    @Override
    public void close() {
        kernels.profile(model, MemorySegment.NULL, 0, MemorySegment.NULL);
        arena.close();
    }
}
