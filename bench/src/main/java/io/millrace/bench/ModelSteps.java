package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.backend.cpu.CpuBackend;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.KernelLibrary;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.SamplingParams;
import io.millrace.worker.sampling.SamplingRow;
import io.millrace.worker.sampling.TokenHistory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/** A model in the native kernels, driven step by step as an engine drives it: greedy sampling is in the time. */
final class ModelSteps implements AutoCloseable {

    private static final int BLOCK_TOKENS = 16;

    private final ModelRuntime runtime;

    private ModelSteps(ModelRuntime runtime) {
        this.runtime = runtime;
    }

    /** MR-BENCH-004 when the kernels are not built. */
    static ModelSteps load(Path file, int threads, int cacheTokens, KvType type) {
        Path library = KernelLibrary.find()
                .orElseThrow(() -> new MillraceException(
                        "MR-BENCH-004", "The CPU kernels are not built; ./millrace doctor says why."));
        try (GgufFile gguf = GgufFile.open(file)) {
            DecoderConfig config = DecoderConfig.fromGguf(file.toString(), gguf.metadata());
            KvOptions options = new KvOptions(
                    BLOCK_TOKENS, (cacheTokens + BLOCK_TOKENS - 1) / BLOCK_TOKENS + 1, 0, cacheTokens, type);
            return new ModelSteps(CpuBackend.load(
                    library, Decoder.of(config, gguf), gguf, options, threads, CpuSettings.DEFAULT, LoadProgress.NONE));
        }
    }

    String numerics() {
        return runtime.numericsId();
    }

    /** Seconds that a prompt of so many tokens takes, in chunks; its last token's successor is sampled. */
    double prefill(int tokens, int chunk) {
        long began = System.nanoTime();
        for (int at = 0; at < tokens; at += chunk) {
            int rows = Math.min(chunk, tokens - at);
            step(1, at, rows, tokens, at + rows == tokens, null);
        }
        return (System.nanoTime() - began) / 1e9;
    }

    /** Seconds that it takes to fill the caches of several streams, side by side, in steps of about {@code chunk} rows. */
    double fill(int streams, int context, int chunk, int room) {
        int each = Math.max(1, chunk / streams);
        long began = System.nanoTime();
        for (int at = 0; at < context; at += each) {
            step(streams, at, Math.min(each, context - at), room, false, null);
        }
        return (System.nanoTime() - began) / 1e9;
    }

    /** Seconds that some steps of one token a stream take, each of which goes on from the one before. */
    double decode(int streams, int context, int steps, int room) {
        long began = System.nanoTime();
        int[] tokens = null;
        for (int i = 0; i < steps; i++) {
            SampledToken[] sampled =
                    step(streams, context + i, 1, room, true, tokens).sampled();
            tokens = Arrays.stream(sampled).mapToInt(SampledToken::id).toArray();
        }
        return (System.nanoTime() - began) / 1e9;
    }

    /** A step of {@code rows} rows a stream behind position {@code before}; each stream has blocks for {@code room} tokens. */
    private StepOutputs step(int streams, int before, int rows, int room, boolean logits, int @Nullable [] tokens) {
        int blocks = (room + BLOCK_TOKENS - 1) / BLOCK_TOKENS;
        int total = streams * rows;
        int[] ids = new int[total];
        int[] positions = new int[total];
        int[] slots = new int[total];
        int[] starts = new int[streams + 1];
        int[] lengths = new int[streams];
        int[][] table = new int[streams][blocks];
        for (int s = 0; s < streams; s++) {
            for (int i = 0; i < rows; i++) {
                int t = s * rows + i;
                int position = before + i;
                ids[t] = tokens == null ? (s * 131 + position * 17 + 1) % runtime.vocabularySize() : tokens[s];
                positions[t] = position;
                slots[t] = s * blocks * BLOCK_TOKENS + position;
            }
            starts[s + 1] = (s + 1) * rows;
            lengths[s] = before + rows;
            Arrays.setAll(table[s], block(s * blocks));
        }
        int[] logitRows = logits ? new int[streams] : new int[0];
        SamplingRow[] sampling = new SamplingRow[logitRows.length];
        for (int s = 0; s < logitRows.length; s++) {
            logitRows[s] = starts[s + 1] - 1;
            sampling[s] =
                    new SamplingRow(SamplingParams.GREEDY, 1, 0, lengths[s], TokenHistory.NONE, new int[0], false);
        }
        return runtime.run(new StepInputs(
                ids,
                positions,
                new int[][] {slots},
                starts,
                lengths,
                new int[][][] {table},
                logitRows,
                sampling,
                new int[streams]));
    }

    private static IntUnaryOperator block(int first) {
        return b -> first + b;
    }

    @Override
    public void close() {
        runtime.close();
    }
}
