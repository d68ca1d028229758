package io.millrace.bench;

import io.millrace.worker.model.config.DecoderConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;

/**
 * What {@link ServerOnDevice} runs.
 *
 * @param library of CUDA kernels
 * @param golden a GGUF file, beside it its prompts and greedy ids
 * @param shape of the model of random weights
 * @param words of the prompts that are measured
 * @param tokens of their answers
 * @param killed tokens of the answer whose worker is killed: enough that there is time for it
 * @param works streams at a time, and requests
 * @param arguments of the server, beside engine and model
 */
record ServerPlan(
        Path library,
        Path golden,
        BenchShape shape,
        int words,
        int tokens,
        int killed,
        List<int[]> works,
        List<String> arguments) {

    static final String USAGE =
            "ServerOnDevice LIBRARY GOLDEN.gguf SHAPE WORDS TOKENS KILLED STREAMS:REQUESTS... (SHAPE: a config.json, see bench/shapes)";
    static final int ARGUMENTS_MIN = 7;

    /** As {@link #USAGE} says. */
    static ServerPlan of(String... args) throws IOException {
        return new ServerPlan(
                Path.of(args[0]).toAbsolutePath(),
                Path.of(args[1]),
                shape(Path.of(args[2])),
                Integer.parseInt(args[3]),
                Integer.parseInt(args[4]),
                Integer.parseInt(args[5]),
                Arrays.stream(args)
                        .skip(ARGUMENTS_MIN - 1)
                        .map(work -> Arrays.stream(work.split(":", 2))
                                .mapToInt(Integer::parseInt)
                                .toArray())
                        .toList(),
                List.of());
    }

    /** The same with arguments of the server. */
    ServerPlan with(String... more) {
        return new ServerPlan(library, golden, shape, words, tokens, killed, works, List.of(more));
    }

    private static BenchShape shape(Path file) throws IOException {
        DecoderConfig config = DecoderConfig.fromJson(file.toString(), Files.readString(file));
        return new BenchShape(
                file.getFileName().toString().replace(".json", ""),
                "llama",
                config.hiddenSize(),
                config.layers(),
                config.heads(),
                config.kvHeads(),
                config.headDim(),
                config.intermediateSize(),
                config.vocabularySize(),
                500_000,
                false);
    }
}
