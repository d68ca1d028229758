package io.millrace.worker.backend.cpu;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.StepLimits;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** Loads models into the native kernels. Stateless; each runtime has its own threads and memory. */
public final class CpuBackend {

    private static final int MIN_BLOCK_TOKENS = 16;
    private static final int MAX_BLOCK_TOKENS = 256;

    private CpuBackend() {}

    /**
     * Loads a model. The source is not needed afterwards.
     *
     * @param library as {@link KernelLibrary#find} gives it
     * @param threads that compute, the engine's own among them; at least 1
     * @param settings how they compute, and where packed weights are kept
     * @throws MillraceException MR-CPU-001 when the library cannot be loaded, MR-CPU-002 for a program or type that it has not got,
     *     MR-CPU-005 when MILLRACE_ISA names no instruction set of this processor, MR-MEM-001 when weights and cache do not fit,
     *     MR-CONFIG-001 for a block size that is not possible, MR-SERVE-010 for a cache in fp8, and what reading the weights may throw
     */
    public static ModelRuntime load(
            Path library,
            Decoder decoder,
            WeightSource source,
            KvOptions options,
            int threads,
            CpuSettings settings,
            LoadProgress progress) {
        if (options.type() == KvType.FP8) {
            throw new MillraceException(
                    "MR-SERVE-010",
                    "kv-dtype is fp8, which the cpu engine has not got. Choose int8, or use --engine cuda.");
        }
        NativeKernels kernels = NativeKernels.open(library);
        return load(
                kernels,
                weights -> MemoryPlan.layout(decoder, options, weights.bytes(), "packed", MemoryPlan.available()),
                null,
                decoder,
                source,
                options,
                threads,
                settings.isa() == 0 ? settings.withIsa(kernels.bestIsa()) : settings,
                progress);
    }

    /**
     * As above.
     *
     * @param plan the cache; MR-MEM-001 when it does not fit beside the weights
     * @param limits of steps, for whose workspace memory is taken now; null: none is
     */
    static ModelRuntime load(
            NativeKernels kernels,
            Function<CpuWeights, KvLayout> plan,
            @Nullable StepLimits limits,
            Decoder decoder,
            WeightSource source,
            KvOptions options,
            int threads,
            CpuSettings settings,
            LoadProgress progress) {
        int blockTokens = options.blockTokens();
        if (blockTokens < MIN_BLOCK_TOKENS || blockTokens > MAX_BLOCK_TOKENS || Integer.bitCount(blockTokens) != 1) {
            throw new MillraceException(
                    "MR-CONFIG-001",
                    "A KV block of " + blockTokens + " tokens is not possible: use a power of two from "
                            + MIN_BLOCK_TOKENS + " to " + MAX_BLOCK_TOKENS + ".");
        }
        CpuWeights weights = new CpuWeights(decoder, source, settings, kernels.computesOn());
        KvLayout layout = plan.apply(weights);
        progress.at("engine", 0);
        long model = create(kernels, decoder.program().encode(), layout, Math.max(1, threads), settings);
        try {
            List<RopeFrequencies> tables = decoder.ropeTables(source, MemoryPlan.maxLength(decoder.config(), options));
            for (int table = 0; table < tables.size(); table++) {
                RopeFrequencies frequencies = tables.get(table);
                if (frequencies.inverse().length > 0) {
                    kernels.rope(model, table, frequencies.inverse(), frequencies.scale());
                }
            }
            weights.bind(kernels, model, progress);
            if (limits != null) {
                kernels.reserve(model, limits(limits, MemoryPlan.maxLength(decoder.config(), options)));
            }
            Map<Integer, Long> sizes = weights.sizes();
            return new CpuRuntime(
                    kernels,
                    model,
                    layout,
                    decoder.vocabularySize(),
                    Math.max(1, threads),
                    new OpCosts(decoder.program(), handle -> sizes.getOrDefault(handle, 0L)));
        } catch (RuntimeException | Error e) {
            kernels.free(model);
            throw e;
        }
    }

    /** What {@link #load} will take; nothing is loaded. MR-MEM-001 when the cache's budget does not hold one sequence. */
    public static MemoryNeed need(Decoder decoder, WeightSource source, KvOptions options, CpuSettings settings) {
        long weights = new CpuWeights(decoder, source, settings, NativeDevice.CPU).bytes();
        return MemoryPlan.need(decoder, options, weights, MemoryPlan.available());
    }

    /** {@code mr_limits}. */
    static int[] limits(StepLimits limits, int positions) {
        return new int[] {limits.rows(), limits.logitRows(), positions};
    }

    /** In what most of a model's products are computed: {@code int8}, {@code bf16} or {@code f32}. */
    public static String dtype(Decoder decoder, WeightSource source) {
        Map<String, Long> bytes = new HashMap<>();
        for (WeightSlot slot : decoder.slots().values()) {
            WeightTensor tensor = source.tensor(slot.tensor());
            DType stored = tensor.dtype();
            boolean packed = stored.blockSize() > 1
                    || GroupedWeight.of(tensor, NativeDevice.CPU).isPresent();
            String name = packed ? "int8" : stored == DType.BF16 ? "bf16" : "f32";
            bytes.merge(name, slot.elements(), Long::sum);
        }
        return bytes.entrySet().stream()
                .max(Map.Entry.comparingByValue())
                .map(Map.Entry::getKey)
                .orElse("f32");
    }

    private static int cacheType(KvType type) {
        return switch (type) {
            case F32 -> NativeType.F32.number();
            case F16 -> NativeType.F16.number();
            case BF16 -> NativeType.BF16.number();
            case INT8 -> NativeKernels.INT8;
            case FP8 -> NativeKernels.FP8;
        };
    }

    /** A model of an encoded program, without weights; its address. */
    static long create(NativeKernels kernels, int[] words, KvLayout layout, int threads, CpuSettings settings) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment options = options(arena, layout, threads, settings);
            return kernels.create(options, arena.allocateFrom(JAVA_INT, words), words.length);
        }
    }

    /** {@code mr_options}. */
    static MemorySegment options(Arena arena, KvLayout layout, int threads, CpuSettings settings) {
        int count = layout.groups().size();
        MemorySegment groups = arena.allocate(Structs.KV_GROUP, count);
        for (int g = 0; g < count; g++) {
            KvLayout.Group group = layout.groups().get(g);
            int[] values = {
                group.blocks(),
                group.layers(),
                group.heads(),
                group.keyDim(),
                group.valueDim(),
                cacheType(KvType.of(group.dtype())),
                layout.hostBlocks()
            };
            for (int i = 0; i < values.length; i++) {
                groups.setAtIndex(JAVA_INT, (long) g * values.length + i, values[i]);
            }
        }
        int[] ints = {
            NativeKernels.ABI_VERSION,
            settings.isa(),
            settings.precision().ordinal(),
            threads,
            settings.pin() ? 1 : 0,
            0,
            layout.blockTokens(),
            count,
            settings.libraryRows()
        };
        MemorySegment options = arena.allocate(Structs.OPTIONS);
        MemorySegment.copy(ints, 0, options, JAVA_INT, 0, ints.length);
        options.set(ADDRESS, Structs.at(Structs.OPTIONS, "group"), groups);
        return options;
    }
}
