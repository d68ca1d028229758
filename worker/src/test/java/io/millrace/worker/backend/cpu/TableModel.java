package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.lang.foreign.Arena;
import java.lang.foreign.ValueLayout;
import java.util.List;

/** A model without layers: an id names a row of a table, and that row is the logits after it. */
final class TableModel {

    private TableModel() {}

    /** @param table [ids][vocabulary] */
    static CpuRuntime load(NativeKernels kernels, CpuSettings settings, int threads, int vocabulary, float[] table) {
        int ids = table.length / vocabulary;
        StepProgram program = new StepProgram(
                List.of(
                        new TensorInfo(TensorInfo.Role.WEIGHT, "logits", List.of(ids, vocabulary)),
                        new TensorInfo(TensorInfo.Role.ACTIVATION, "x", List.of(TensorInfo.ROWS, vocabulary)),
                        new TensorInfo(TensorInfo.Role.ACTIVATION, "rows", List.of(TensorInfo.LOGIT_ROWS, vocabulary))),
                List.of(new Op.Embed(0, 1, 1), new Op.GatherRows(1, 2), new Op.Sample(2)));
        KvLayout layout = new KvLayout(16, List.of());
        long model = CpuBackend.create(kernels, program.encode(), layout, threads, settings);
        try (Arena arena = Arena.ofConfined()) {
            kernels.bind(
                    model,
                    0,
                    NativeType.F32.number(),
                    ids,
                    vocabulary,
                    arena.allocateFrom(ValueLayout.JAVA_FLOAT, table));
        }
        return new CpuRuntime(kernels, model, layout, vocabulary, threads, new OpCosts(program, handle -> 0L));
    }
}
