package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepLimits;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.weights.WeightSource;
import java.lang.foreign.Arena;
import java.nio.file.Path;
import java.util.Optional;

/** Loads models into the kernels of a CUDA device, the first of the machine. Stateless. */
public final class CudaBackend {

    private static final KernelLibrary LIBRARY =
            new KernelLibrary("MILLRACE_CUDA_KERNELS", "millrace_cuda", NativeDevice.CUDA);

    private static final int COLUMNS = 32;

    /** Part of what is free that no cache takes for which nothing is asked. */
    private static final int KEPT_FREE = 16;

    /**
     * What no plan knows of: kernels, ours and cuBLASLt's, which the driver loads when they are launched first, executable graphs, a step's integers,
     * lists of copied blocks, pages that are not full.
     */
    private static final long MOST_KEPT = 512L << 20;

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
                ? device.text() + ", " + MemoryNeed.mib(device.freeBytes()) + " of "
                        + MemoryNeed.mib(device.totalBytes()) + " MiB free"
                : "not usable: " + device.text();
    }

    /**
     * Loads a model. Weights, cache and the workspace of the largest step are taken now. The source is not needed afterwards.
     *
     * @param threads that sample, the engine's own among them; at least 1
     * @param settings precision, and whether products of many rows are cuBLASLt's
     * @param limits the largest step
     * @throws MillraceException MR-CUDA-001 when the library cannot be loaded, MR-CUDA-002 for a device, program or type that cannot be used,
     *     MR-MEM-001 when all of it does not fit into the device's memory, or the pool for swapped blocks into the machine's, and what {@link CpuBackend#load} throws
     */
    public static ModelRuntime load(
            Path library,
            Decoder decoder,
            WeightSource source,
            KvOptions options,
            int threads,
            CpuSettings settings,
            StepLimits limits,
            LoadProgress progress) {
        NativeKernels kernels = NativeKernels.open(library, NativeDevice.CUDA);
        return CpuBackend.load(
                kernels,
                weights -> {
                    MemoryNeed need = need(kernels, decoder, weights, options, settings, limits);
                    if (need.shortByBytes() > 0) {
                        throw need.tooMuch("The model", "weights as the device keeps them");
                    }
                    checkHost(need.swapBytes(), MemoryPlan.available());
                    return MemoryPlan.sized(decoder, options);
                },
                limits,
                decoder,
                source,
                options,
                threads,
                settings.onDevice(),
                progress);
    }

    /** What {@link #load} will take; nothing is loaded. MR-MEM-001 when the cache's budget does not hold one sequence. */
    public static MemoryNeed need(
            Path library,
            Decoder decoder,
            WeightSource source,
            KvOptions options,
            CpuSettings settings,
            StepLimits limits) {
        CpuWeights weights = new CpuWeights(decoder, source, settings.onDevice(), NativeDevice.CUDA);
        return need(NativeKernels.open(library, NativeDevice.CUDA), decoder, weights, options, settings, limits);
    }

    /**
     * Memory of the device that weights and workspace leave for a cache, but for a part that is kept free: more than of a cache whose size is asked for.
     *
     * @param least a cache of one block
     */
    public static long roomForCache(
            Path library,
            Decoder decoder,
            WeightSource source,
            KvOptions least,
            CpuSettings settings,
            StepLimits limits) {
        MemoryNeed need = need(library, decoder, source, least, settings, limits);
        long room = need.availableBytes() - need.weightBytes() - need.workBytes();
        return Math.max(need.kvBytes(), room - need.availableBytes() / KEPT_FREE);
    }

    /** Of what is free, what even a cache whose size is asked for leaves. */
    private static long kept(long free) {
        return Math.min(free / KEPT_FREE, MOST_KEPT);
    }

    private static void checkHost(long bytes, long available) {
        if (bytes > available) {
            throw new MillraceException(
                    "MR-MEM-001",
                    "The pool for swapped KV blocks needs " + MemoryNeed.mib(bytes)
                            + " MiB of the machine's memory, pinned, available are " + MemoryNeed.mib(available)
                            + " MiB (short by " + MemoryNeed.mib(bytes - available)
                            + "). Lower millrace.worker.kv-host-memory; 0 is none.");
        }
    }

    private static MemoryNeed need(
            NativeKernels kernels,
            Decoder decoder,
            CpuWeights weights,
            KvOptions options,
            CpuSettings settings,
            StepLimits limits) {
        NativeKernels.Device device = usable(kernels);
        KvLayout layout = MemoryPlan.sized(decoder, options);
        long cache = 0;
        for (KvLayout.Group group : layout.groups()) {
            cache += group.blocks() * MemoryPlan.blockBytes(filledUp(group), layout.blockTokens());
        }
        try (Arena arena = Arena.ofConfined()) {
            NativeKernels.Need need = kernels.memory(
                    CpuBackend.options(arena, layout, 1, settings.onDevice()),
                    decoder.program().encode(),
                    weights.stored(),
                    CpuBackend.limits(limits, MemoryPlan.maxLength(decoder.config(), options)));
            return new MemoryNeed(
                    need.weights(),
                    cache,
                    need.workspace(),
                    kept(device.freeBytes()),
                    need.host(),
                    true,
                    device.freeBytes(),
                    device.totalBytes());
        }
    }

    /** With dims as the device keeps them: whole 32s. */
    private static KvLayout.Group filledUp(KvLayout.Group group) {
        return new KvLayout.Group(
                group.blocks(),
                group.layers(),
                group.heads(),
                filledUp(group.keyDim()),
                filledUp(group.valueDim()),
                group.window(),
                group.dtype());
    }

    private static int filledUp(int dim) {
        return (dim + COLUMNS - 1) / COLUMNS * COLUMNS;
    }

    private static NativeKernels.Device usable(NativeKernels kernels) {
        NativeKernels.Device device = kernels.device();
        if (!device.usable()) {
            throw NativeDevice.CUDA.unsupported(device.text());
        }
        return device;
    }
}
