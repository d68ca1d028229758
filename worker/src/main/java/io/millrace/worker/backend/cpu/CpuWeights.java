package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.FiniteCheck;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;

/**
 * Hands a model's weights to the kernels, which pack them: as they are stored, in groups of columns, or widened where the kernels do not
 * know the type.
 */
final class CpuWeights {

    private record Bound(int handle, WeightSlot slot) {}

    private static final int ALIGNMENT = 64;

    private final List<Bound> weights = new ArrayList<>();
    private final Map<Integer, Long> packed = new HashMap<>();
    private final WeightSource source;
    private final CpuSettings settings;
    private final NativeDevice device;
    private final int[] program;

    CpuWeights(Decoder decoder, WeightSource source, CpuSettings settings, NativeDevice device) {
        this.source = source;
        this.settings = settings;
        this.device = device;
        StepProgram program = decoder.program();
        this.program = program.encode();
        for (int handle = 0; handle < program.tensors().size(); handle++) {
            TensorInfo info = program.tensor(handle);
            if (info.role() == TensorInfo.Role.WEIGHT) {
                WeightSlot slot = Objects.requireNonNull(decoder.slots().get(info.name()), info.name());
                weights.add(new Bound(handle, slot));
                packed.put(handle, bytes(slot));
            }
        }
    }

    /** Bytes of the packed form, about. */
    long bytes() {
        return weights.stream().mapToLong(weight -> bytes(weight.slot())).sum();
    }

    /** Bytes of the packed form of each weight, about, by its handle. */
    Map<Integer, Long> sizes() {
        return Map.copyOf(packed);
    }

    private long bytes(WeightSlot slot) {
        WeightTensor tensor = source.tensor(slot.tensor());
        Optional<GroupedWeight> grouped = slot.rows().turned() ? Optional.empty() : GroupedWeight.of(tensor, device);
        if (grouped.isPresent()) {
            return grouped.get().bytes(slot.elements() / grouped.get().columns());
        }
        DType dtype = tensor.dtype();
        boolean kept = NativeType.of(dtype).isPresent()
                && (settings.precision() != CpuSettings.Precision.F32 || dtype.blockSize() == 1);
        return kept ? dtype.bytes(slot.elements()) : slot.elements() * Float.BYTES;
    }

    /** {@code mr_stored} of each weight: handle, type, columns of a group (0: none), whether columns have an order of their own. */
    int[] stored() {
        int[] all = new int[4 * weights.size()];
        int at = 0;
        for (Bound weight : weights) {
            WeightSlot slot = weight.slot();
            WeightTensor tensor = source.tensor(slot.tensor());
            boolean turned = slot.rows().turned();
            GroupedWeight grouped =
                    turned ? null : GroupedWeight.of(tensor, device).orElse(null);
            NativeType type =
                    turned ? NativeType.F32 : NativeType.of(tensor.dtype()).orElse(NativeType.F32);
            all[at++] = weight.handle();
            all[at++] = grouped == null ? type.number() : grouped.type().number();
            all[at++] = grouped == null ? 0 : grouped.groupColumns();
            all[at++] = grouped == null || grouped.order() == null ? 0 : 1;
        }
        return all;
    }

    /** Binds all, from what is kept of them where there is such. */
    void bind(NativeKernels kernels, long model, LoadProgress progress) {
        Path folder = settings.repackCache();
        if (folder == null) {
            bindAll(kernels, model, progress);
            return;
        }
        List<Integer> handles = weights.stream().map(Bound::handle).toList();
        RepackCache cache = RepackCache.of(folder, kernels.path(), kernels.numerics(model), program, source);
        if (!cache.restore(kernels, model, handles, progress)) {
            bindAll(kernels, model, progress);
            cache.keep(kernels, model, handles);
        }
    }

    private void bindAll(NativeKernels kernels, long model, LoadProgress progress) {
        long total = bytes();
        long done = 0;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment buffer = arena.allocate(largest(), ALIGNMENT);
            for (Bound weight : weights) {
                bind(kernels, model, weight.handle(), Decoder.stored(source, weight.slot()), buffer);
                done += bytes(weight.slot());
                progress.at("weights", (double) done / total);
            }
        }
    }

    /** Bytes of the largest weight as the kernels read it. */
    private long largest() {
        long most = 0;
        for (Bound weight : weights) {
            WeightTensor tensor = source.tensor(weight.slot().tensor());
            if (!weight.slot().rows().turned()
                    && GroupedWeight.of(tensor, device).isPresent()) {
                continue;
            }
            DType dtype = tensor.dtype();
            DType read = NativeType.of(dtype).isPresent() ? dtype : DType.F32;
            // What is turned is float32 whatever its type.
            long elements = weight.slot().elements();
            most = Math.max(most, weight.slot().rows().turned() ? elements * Float.BYTES : read.bytes(elements));
        }
        return most;
    }

    /** Hands a weight over in memory of ours: where the kernels read a mapped file that became shorter, the process would end. */
    private void bind(NativeKernels kernels, long model, int handle, WeightTensor tensor, MemorySegment buffer) {
        long rows = Dequantizer.rows(tensor);
        long columns = Dequantizer.columns(tensor);
        Optional<GroupedWeight> grouped = GroupedWeight.of(tensor, device);
        if (grouped.isPresent()) {
            CpuGroups.bind(kernels, model, handle, tensor, grouped.get());
            return;
        }
        NativeType type = NativeType.of(tensor.dtype()).orElse(null);
        if (type == null) {
            MemorySegment wide = buffer.asSlice(0, rows * columns * Float.BYTES);
            Dequantizer.finiteRows(tensor, 0, rows, wide);
            kernels.bind(model, handle, NativeType.F32.number(), rows, columns, wide);
            return;
        }
        MemorySegment copy = buffer.asSlice(0, tensor.data().byteSize());
        try {
            copy.copyFrom(tensor.data());
        } catch (InternalError e) {
            throw MappedFile.fault(tensor.described(), e);
        }
        FiniteCheck.check(tensor, copy);
        kernels.bind(model, handle, type.number(), rows, columns, copy);
    }
}
