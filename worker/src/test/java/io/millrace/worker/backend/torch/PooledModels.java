package io.millrace.worker.backend.torch;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.EncoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.encoder.Encoder;
import io.millrace.worker.model.encoder.PooledDecoder;
import io.millrace.worker.model.encoder.PooledModel;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Loads golden encoders and pooled decoders into PyTorch, and runs whole inputs through them. */
final class PooledModels {

    private PooledModels() {}

    /** An input. */
    record Input(int[] ids, int[] types) {

        static Input of(int... ids) {
            return new Input(ids, new int[ids.length]);
        }
    }

    static ModelRuntime encoder(String name, Op.Pool.Kind kind, int threads) {
        if (name.endsWith(".gguf")) {
            GgufFile file = GgufFile.open(Golden.path("encoders/" + name));
            return load(Encoder.of(EncoderConfig.fromGguf(name, file.metadata()), file, kind), threads);
        }
        WeightSource source = SafetensorsFolder.open(Golden.path("encoders/" + name));
        return load(Encoder.of(EncoderConfig.fromJson(name, json(name)), source, kind), threads);
    }

    /** A Llama; it may have a head. */
    static ModelRuntime decoder(String name, Op.Pool.Kind kind, int threads, @Nullable String head) {
        WeightSource source = SafetensorsFolder.open(Golden.path("encoders/" + name));
        String json = json(name)
                .replaceAll("Llama(Model|ForSequenceClassification)", "LlamaForCausalLM")
                .replace("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
        Decoder decoder = Decoder.of(DecoderConfig.fromJson(name, json), source);
        return load(PooledDecoder.of(decoder, source, kind, head), threads);
    }

    private static String json(String name) {
        return new String(Golden.bytes("encoders/" + name + "/config.json"), StandardCharsets.UTF_8);
    }

    private static ModelRuntime load(PooledModel model, int threads) {
        try (WeightSource source = model.source()) {
            return TorchBackend.load(model, model.contextLength(), threads, LoadProgress.NONE);
        }
    }

    /** One row for each input, computed together. */
    static float[][] run(ModelRuntime runtime, List<Input> inputs) {
        int rows = inputs.stream().mapToInt(i -> i.ids().length).sum();
        int[] tokens = new int[rows];
        int[] types = new int[rows];
        int[] starts = new int[inputs.size() + 1];
        for (int i = 0; i < inputs.size(); i++) {
            int n = inputs.get(i).ids().length;
            System.arraycopy(inputs.get(i).ids(), 0, tokens, starts[i], n);
            System.arraycopy(inputs.get(i).types(), 0, types, starts[i], n);
            starts[i + 1] = starts[i] + n;
        }
        StepOutputs out = runtime.run(StepInputs.whole(tokens, starts, types));
        return Objects.requireNonNull(out.pooled());
    }

    static List<Input> inputs(String folder) {
        JsonNode golden = Golden.json("encoders/" + folder + "/golden.json");
        List<Input> inputs = new ArrayList<>();
        for (int i = 0; i < golden.get("ids").size(); i++) {
            int[] ids = GoldenModels.ints(golden.get("ids").get(i));
            inputs.add(
                    golden.has("types")
                            ? new Input(
                                    ids, GoldenModels.ints(golden.get("types").get(i)))
                            : Input.of(ids));
        }
        return inputs;
    }
}
