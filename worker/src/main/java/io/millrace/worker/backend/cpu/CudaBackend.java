package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.weights.WeightSource;
import java.nio.file.Path;
import java.util.Optional;

/** Loads models into the kernels of a CUDA device, the first of the machine. Stateless. */
public final class CudaBackend {

    private static final KernelLibrary LIBRARY =
            new KernelLibrary("MILLRACE_CUDA_KERNELS", "millrace_cuda", NativeDevice.CUDA);

    private CudaBackend() {}

    /**
     * The library: what {@code MILLRACE_CUDA_KERNELS} names, or the one built in the project's folder, or one beside our jar; empty when there
     * is none. MR-CUDA-001 when the variable names no file.
     */
    public static Optional<Path> find() {
        return LIBRARY.anywhere();
    }

    /** Chip and driver, or "not usable: " and why, for people. MR-CUDA-001 when the library cannot be loaded. */
    public static String describe(Path library) {
        NativeKernels.Device device =
                NativeKernels.open(library, NativeDevice.CUDA).device();
        return device.usable()
                ? device.text() + ", " + MemoryNeed.mib(device.freeBytes()) + " MiB free"
                : "not usable: " + device.text();
    }

    /**
     * Loads a model. The source is not needed afterwards.
     *
     * @param threads that sample, the engine's own among them; at least 1
     * @param exact float32 throughout instead of bf16 activations, for comparing
     * @throws MillraceException MR-CUDA-001 when the library cannot be loaded, MR-CUDA-002 for a device, program or type that cannot be used,
     *     MR-MEM-001 when weights and cache do not fit into the device's memory, and what {@link CpuBackend#load} throws
     */
    public static ModelRuntime load(
            Path library,
            Decoder decoder,
            WeightSource source,
            KvOptions options,
            int threads,
            boolean exact,
            LoadProgress progress) {
        NativeKernels kernels = NativeKernels.open(library, NativeDevice.CUDA);
        return CpuBackend.load(
                kernels, usable(kernels).freeBytes(), decoder, source, options, threads, settings(exact), progress);
    }

    /** What {@link #load} will take; nothing is loaded. MR-MEM-001 when the cache's budget does not hold one sequence. */
    public static MemoryNeed need(
            Path library, Decoder decoder, WeightSource source, KvOptions options, boolean exact) {
        NativeKernels kernels = NativeKernels.open(library, NativeDevice.CUDA);
        return CpuBackend.need(
                decoder, source, options, settings(exact), usable(kernels).freeBytes());
    }

    private static CpuSettings settings(boolean exact) {
        return new CpuSettings(0, exact ? CpuSettings.Precision.F32 : CpuSettings.Precision.NATIVE, false);
    }

    private static NativeKernels.Device usable(NativeKernels kernels) {
        NativeKernels.Device device = kernels.device();
        if (!device.usable()) {
            throw NativeDevice.CUDA.unsupported(device.text());
        }
        return device;
    }
}
