package io.millrace.worker.backend.torch;

import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.quant.QuantizedSource;
import io.millrace.worker.model.weights.WeightSource;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;

/** Loads golden models into PyTorch. */
public final class GoldenModels {

    private GoldenModels() {}

    static ModelRuntime load(Path path, KvOptions options, int threads) {
        if (Files.isDirectory(path)) {
            Path file = path.resolve("config.json");
            String json = text(file);
            DecoderConfig config = DecoderConfig.fromJson(file.toString(), json);
            try (WeightSource source = QuantizedSource.open(path, json)) {
                return TorchBackend.load(Decoder.of(config, source), source, options, threads, LoadProgress.NONE);
            }
        }
        try (GgufFile source = GgufFile.open(path)) {
            DecoderConfig config = DecoderConfig.fromGguf(path.toString(), source.metadata());
            return TorchBackend.load(Decoder.of(config, source), source, options, threads, LoadProgress.NONE);
        }
    }

    private static String text(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static KvOptions blocks(int blockTokens, int tokens) {
        return blocks(blockTokens, tokens, 0);
    }

    public static KvOptions blocks(int blockTokens, int tokens, int maxModelLen) {
        return new KvOptions(blockTokens, (tokens + blockTokens - 1) / blockTokens, 0, maxModelLen);
    }

    public static int[] ints(JsonNode node) {
        int[] values = new int[node.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = node.get(i).intValue();
        }
        return values;
    }

    /** A prompt, its place among all, and the ids that follow it. */
    public record Prompt(int index, int[] ids, int[] greedy) {}

    /** A golden model: its file, its golden.json and the prefix of its logit files. */
    public record Case(String name, String file, String json, String logits) {
        public static Case folder(String family) {
            String dir = "models/" + family + "-tiny/";
            return new Case(family, dir.substring(0, dir.length() - 1), dir + "golden.json", dir);
        }

        /** Every family. */
        public static Stream<Case> folders() {
            return Stream.of(
                            "llama",
                            "llama3",
                            "llama-yarn",
                            "smollm",
                            "mistral",
                            "mixtral",
                            "qwen2",
                            "qwen2_moe",
                            "qwen3",
                            "qwen3_moe",
                            "gemma2",
                            "gemma3",
                            "phi3",
                            "phi3-longrope",
                            "phi4mini",
                            "olmo2",
                            "granite",
                            "deepseek_v2")
                    .map(Case::folder);
        }

        public static Case gguf(String name) {
            return new Case(name, "gguf/" + name + ".gguf", "gguf/" + name + ".json", "gguf/" + name + ".");
        }

        public JsonNode golden() {
            return Golden.json(json);
        }

        public float[] logits(String kind) {
            return Golden.floats(logits + kind + ".f32");
        }

        /** Longest sequences to load the model for: longrope has other frequencies for longer ones. 0: the model's own. */
        public int[] lengths() {
            return golden().has("longrope") ? new int[] {76, 0} : new int[] {0};
        }

        /** The prompts computed with the frequencies of a length; their index in the file by themselves. */
        public List<Prompt> prompts(int length) {
            List<Prompt> prompts = new ArrayList<>();
            JsonNode all = golden().get("prompts");
            for (int i = 0; i < all.size(); i++) {
                JsonNode prompt = all.get(i);
                boolean shorter = prompt.path("rope_factors").asString("").startsWith("short");
                if (lengths().length == 1 || shorter == (length > 0)) {
                    prompts.add(new Prompt(i, ints(prompt.get("ids")), ints(prompt.get("greedy"))));
                }
            }
            return prompts;
        }

        ModelRuntime load(KvOptions options, int threads) {
            return GoldenModels.load(Golden.path(file), options, threads);
        }

        @Override
        public String toString() {
            return name;
        }
    }
}
