package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;

/** Hands a model's weights to the kernels, which pack them: mapped bytes by their address, types that they do not know widened first. */
final class CpuWeights {

    private record Bound(int handle, WeightSlot slot) {}

    private final List<Bound> weights = new ArrayList<>();
    private final WeightSource source;
    private final CpuSettings settings;

    CpuWeights(Decoder decoder, WeightSource source, CpuSettings settings) {
        this.source = source;
        this.settings = settings;
        StepProgram program = decoder.program();
        for (int handle = 0; handle < program.tensors().size(); handle++) {
            TensorInfo info = program.tensor(handle);
            if (info.role() == TensorInfo.Role.WEIGHT) {
                weights.add(
                        new Bound(handle, Objects.requireNonNull(decoder.slots().get(info.name()), info.name())));
            }
        }
    }

    /** Bytes of the packed form, about. */
    long bytes() {
        return weights.stream().mapToLong(weight -> bytes(weight.slot())).sum();
    }

    private long bytes(WeightSlot slot) {
        DType dtype = source.tensor(slot.tensor()).dtype();
        boolean kept = NativeType.of(dtype).isPresent()
                && (settings.precision() == CpuSettings.Precision.NATIVE || dtype.blockSize() == 1);
        return kept ? dtype.bytes(slot.elements()) : slot.elements() * Float.BYTES;
    }

    void bind(NativeKernels kernels, long model, LoadProgress progress) {
        long total = bytes();
        long done = 0;
        for (Bound weight : weights) {
            WeightTensor tensor = Decoder.stored(source, weight.slot());
            try {
                bind(kernels, model, weight.handle(), tensor);
            } catch (InternalError e) {
                throw MappedFile.fault("tensor " + tensor.name(), e);
            }
            done += bytes(weight.slot());
            progress.at("weights", (double) done / total);
        }
    }

    private static void bind(NativeKernels kernels, long model, int handle, WeightTensor tensor) {
        long rows = Dequantizer.rows(tensor);
        long columns = Dequantizer.columns(tensor);
        NativeType type = NativeType.of(tensor.dtype()).orElse(null);
        if (type != null) {
            kernels.bind(model, handle, type.number(), rows, columns, tensor.data());
            return;
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment wide = arena.allocate(ValueLayout.JAVA_FLOAT, rows * columns);
            Dequantizer.rows(tensor, 0, rows, wide);
            kernels.bind(model, handle, NativeType.of(DType.F32).orElseThrow().number(), rows, columns, wide);
        }
    }
}
