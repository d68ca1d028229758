package io.millrace.worker.backend.torch;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import ai.djl.pytorch.engine.PtNDManager;
import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.memory.MemoryPlan;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.encoder.PooledModel;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.StepProgram;
import java.lang.foreign.Arena;
import java.util.List;
import java.util.Map;

/** Loads models into DJL's PyTorch, widened to float32. Stateless; each runtime has its own threads and memory. */
public final class TorchBackend {

    private static final int MAX_BLOCK_TOKENS = AttentionPart.CHUNK;

    private TorchBackend() {}

    /**
     * Loads a model. The source is not needed afterwards.
     *
     * @param threads that compute, the engine's own among them; at least 1
     * @throws MillraceException MR-MEM-001 when weights and cache do not fit, MR-TORCH-002 when PyTorch cannot be started,
     *     MR-CONFIG-001 for a block size that is not possible, MR-TORCH-003 for another cache than float32, and what reading the weights may throw
     */
    public static ModelRuntime load(
            Decoder decoder, WeightSource source, KvOptions options, int threads, LoadProgress progress) {
        int blockTokens = options.blockTokens();
        if (blockTokens < 1 || blockTokens > MAX_BLOCK_TOKENS || Integer.bitCount(blockTokens) != 1) {
            throw new MillraceException(
                    "MR-CONFIG-001",
                    "A KV block of " + blockTokens + " tokens is not possible: use a power of two up to "
                            + MAX_BLOCK_TOKENS + ".");
        }
        if (options.type() != KvType.F32) {
            throw new MillraceException(
                    "MR-TORCH-003",
                    "The torch engine keeps its KV cache in f32, not "
                            + options.type().label() + ". Leave --kv-dtype out, or use --engine cpu.");
        }
        KvLayout layout = MemoryPlan.layout(
                decoder,
                options.withHostBytes(0),
                TorchWeights.bytes(decoder.program()),
                "in float32",
                MemoryPlan.available());
        return load(
                decoder.program(),
                decoder.slots(),
                source,
                layout,
                decoder.ropeTables(source, MemoryPlan.maxLength(decoder.config(), options)),
                MemoryPlan.maxLength(decoder.config(), options),
                decoder.vocabularySize(),
                threads,
                progress);
    }

    /**
     * Loads a model that pools; it has no cache. Errors as of the other.
     *
     * @param maxTokens of an input
     */
    public static ModelRuntime load(PooledModel model, int maxTokens, int threads, LoadProgress progress) {
        MemoryNeed need = need(model);
        if (need.shortByBytes() > 0) {
            throw need.tooMuch("The model", "weights in float32");
        }
        return load(
                model.program(),
                model.slots(),
                model.source(),
                new KvLayout(1, List.of()),
                model.ropeTables(maxTokens),
                maxTokens,
                model.vocabularySize(),
                threads,
                progress);
    }

    @SuppressWarnings("MustBeClosedChecker") // the runtime closes the arena
    private static ModelRuntime load(
            StepProgram program,
            Map<String, WeightSlot> slots,
            WeightSource source,
            KvLayout layout,
            List<RopeFrequencies> ropes,
            int maxLength,
            int vocabulary,
            int threads,
            LoadProgress progress) {
        progress.at("engine", 0);
        PtNDManager manager = manager();
        Arena arena = Arena.ofShared();
        Pt.oneThread();
        ThreadTeam team = new ThreadTeam("torch", Math.max(1, threads), Pt::oneThread);
        try {
            TorchWeights weights = TorchWeights.load(program, slots, source, arena, manager, team, progress);
            progress.at("cache", 0);
            List<TorchKvCache> caches = layout.groups().stream()
                    .map(group -> new TorchKvCache(manager, group, layout.blockTokens()))
                    .toList();
            progress.at("cache", 1);
            return new TorchRuntime(new TorchRuntime.Parts(
                    manager,
                    arena,
                    team,
                    weights,
                    caches,
                    layout,
                    Schedule.of(program),
                    program.tensors().size(),
                    ropes.stream()
                            .map(frequencies -> new RopeTable(frequencies, maxLength))
                            .toList(),
                    vocabulary,
                    Numerics.id(manager),
                    OpCosts.floats(program)));
        } catch (RuntimeException | Error e) {
            team.close();
            manager.close();
            arena.close();
            throw e;
        }
    }

    /** What {@link #load} will take; nothing is loaded. MR-MEM-001 when the cache's budget does not hold one sequence. */
    public static MemoryNeed need(Decoder decoder, KvOptions options) {
        return MemoryPlan.need(
                decoder, options.withHostBytes(0), TorchWeights.bytes(decoder.program()), MemoryPlan.available());
    }

    /** What loading a model that pools will take. */
    public static MemoryNeed need(PooledModel model) {
        return new MemoryNeed(TorchWeights.bytes(model.program()), 0, MemoryPlan.available());
    }

    private static PtNDManager manager() {
        try {
            return (PtNDManager) Engine.getEngine("PyTorch").newBaseManager(ai.djl.Device.cpu());
        } catch (EngineException | UnsatisfiedLinkError e) {
            throw new MillraceException(
                    "MR-TORCH-002",
                    "PyTorch does not start on this machine: " + e.getMessage()
                            + ". Its native library comes with the build for Linux on x86-64; on others choose another engine.",
                    e);
        }
    }
}
