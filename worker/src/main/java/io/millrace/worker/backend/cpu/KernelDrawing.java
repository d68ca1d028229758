package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.millrace.worker.sampling.Draw;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Draws the ids of a step in the kernels, by all of their threads. One caller at a time. */
final class KernelDrawing implements RowSamplers.Drawing {

    private static final long DRAW_BYTES = Structs.DRAW.byteSize();
    private static final long SCALE = Structs.at(Structs.DRAW, "scale");
    private static final long UNIFORM = Structs.at(Structs.DRAW, "uniform");
    private static final long ROW = Structs.at(Structs.DRAW, "row");
    private static final long TOP_K = Structs.at(Structs.DRAW, "top_k");
    private static final long TOP_P = Structs.at(Structs.DRAW, "top_p");
    private static final long MIN_P = Structs.at(Structs.DRAW, "min_p");
    private static final long DRAFT = Structs.at(Structs.DRAW, "draft");

    private final NativeKernels kernels;
    private final long model;
    private final Arena arena;
    private final MemorySegment error;
    private MemorySegment draws = MemorySegment.NULL;
    private MemorySegment ids = MemorySegment.NULL;

    /** @param arena lives as long as this */
    KernelDrawing(NativeKernels kernels, long model, Arena arena) {
        this.kernels = kernels;
        this.model = model;
        this.arena = arena;
        this.error = NativeKernels.errorBuffer(arena);
    }

    @Override
    public int[] draw(MemorySegment logits, @Nullable Draw[] rows) {
        int[] drawn = new int[rows.length];
        Arrays.fill(drawn, -1);
        if (ids.byteSize() < (long) rows.length * Integer.BYTES) {
            draws = arena.allocate(Structs.DRAW, 2L * rows.length);
            ids = arena.allocate(JAVA_INT, 2L * rows.length);
        }
        int[] row = new int[rows.length];
        int count = 0;
        for (int r = 0; r < rows.length; r++) {
            Draw draw = rows[r];
            if (draw != null) {
                boolean verified = r + 1 < rows.length && rows[r + 1] != null;
                write(draw, r, verified ? draw.draft() : -1, count * DRAW_BYTES);
                row[count++] = r;
            }
        }
        if (count > 0) {
            kernels.draw(model, logits, draws, count, ids, error);
        }
        for (int i = 0; i < count; i++) {
            drawn[row[i]] = ids.getAtIndex(JAVA_INT, i);
        }
        return drawn;
    }

    private void write(Draw draw, int row, int draft, long at) {
        draws.set(JAVA_DOUBLE, at + SCALE, draw.scale());
        draws.set(JAVA_DOUBLE, at + UNIFORM, draw.uniform());
        draws.set(JAVA_INT, at + ROW, row);
        draws.set(JAVA_INT, at + TOP_K, draw.topK());
        draws.set(JAVA_FLOAT, at + TOP_P, draw.topP());
        draws.set(JAVA_FLOAT, at + MIN_P, draw.minP());
        draws.set(JAVA_INT, at + DRAFT, draft);
    }
}
