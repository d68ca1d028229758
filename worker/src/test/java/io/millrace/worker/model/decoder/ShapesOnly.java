package io.millrace.worker.model.decoder;

import io.millrace.worker.model.Golden;
import io.millrace.worker.model.ShapedWeights;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.util.Objects;
import tools.jackson.databind.JsonNode;

/** The tensors of the golden DeepSeek model, with queries compressed as a config says; without data. */
final class ShapesOnly extends ShapedWeights {

    ShapesOnly(DecoderConfig config, JsonNode golden) {
        try (WeightSource source = SafetensorsFolder.open(Golden.path("models/deepseek_v2-tiny"))) {
            source.names().forEach(name -> shapes.put(name, source.tensor(name).shape()));
        }
        long rank = Objects.requireNonNull(config.latent()).queryRank();
        for (int i = 0; i < golden.get("num_hidden_layers").intValue(); i++) {
            String start = "model.layers." + i + ".self_attn.";
            long[] whole = Objects.requireNonNull(shapes.remove(start + "q_proj.weight"));
            shapes.put(start + "q_a_proj.weight", new long[] {rank, whole[1]});
            shapes.put(start + "q_a_layernorm.weight", new long[] {rank});
            shapes.put(start + "q_b_proj.weight", new long[] {whole[0], rank});
        }
    }

    @Override
    public WeightTensor tensor(String name) {
        return new WeightTensor(name, DType.F32, shape(name), MemorySegment.NULL);
    }
}
