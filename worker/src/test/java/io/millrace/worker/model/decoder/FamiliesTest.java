package io.millrace.worker.model.decoder;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.node.ObjectNode;

/** Where families keep their weights, and configs that are of another checkpoint. */
class FamiliesTest {

    private static ObjectNode json(String family) {
        return (ObjectNode) Golden.json("models/" + family + "-tiny/config.json");
    }

    private static Decoder decoder(String family, Consumer<ObjectNode> change, UnaryOperator<String> rename) {
        ObjectNode json = json(family);
        change.accept(json);
        try (WeightSource source =
                new RenamedSource(SafetensorsFolder.open(Golden.path("models/" + family + "-tiny")), rename)) {
            return Decoder.of(DecoderConfig.fromJson("config.json", json.toString()), source);
        }
    }

    @ParameterizedTest
    @CsvSource({"language_model.model., language_model.lm_head", "model.language_model., lm_head", "'', lm_head"})
    void aLanguageModelIsFoundInsideAModelThatAlsoSees(String prefix, String head) {
        ObjectNode text = json("gemma3");
        Decoder decoder = decoder(
                "gemma3",
                json -> {
                    json.removeAll();
                    json.putArray("architectures").add("Gemma3ForConditionalGeneration");
                    json.put("model_type", "gemma3").set("text_config", text);
                },
                name -> name.replaceFirst("^model\\.", prefix).replaceFirst("^lm_head", head));
        assertThat(decoder.slots().get("layers.3.self_attn.q_norm"))
                .extracting(WeightSlot::tensor)
                .isEqualTo(prefix + "layers.3.self_attn.q_norm.weight");
        assertThat(decoder.program())
                .isEqualTo(decoder("gemma3", json -> {}, name -> name).program());
    }

    private static WeightSlot slot(Decoder decoder, String name) {
        return java.util.Objects.requireNonNull(decoder.slots().get(name));
    }

    @Test
    void rowsOfAFusedTensorAreThoseOfItsParts() {
        try (WeightSource source = SafetensorsFolder.open(Golden.path("models/phi4mini-tiny"))) {
            Decoder decoder = Decoder.of(
                    DecoderConfig.fromJson("config.json", json("phi4mini").toString()), source);
            float[] whole = Dequantizer.all(source.tensor("model.layers.1.self_attn.qkv_proj.weight"));
            WeightSlot slot = slot(decoder, "layers.1.self_attn.v_proj");
            float[] v = Dequantizer.all(Decoder.stored(source, slot));
            assertThat(slot.shape()).containsExactly(32, 96);
            assertThat(v).containsExactly(java.util.Arrays.copyOfRange(whole, 128 * 96, 160 * 96));
        }
    }

    @Test
    void eachHeadsRowsOfALatentProjectionAreCollected() {
        try (WeightSource source = SafetensorsFolder.open(Golden.path("models/deepseek_v2-tiny"))) {
            Decoder decoder = Decoder.of(
                    DecoderConfig.fromJson("config.json", json("deepseek_v2").toString()), source);
            float[] whole = Dequantizer.all(source.tensor("model.layers.0.self_attn.kv_b_proj.weight"));
            float[] v = Dequantizer.all(Decoder.stored(source, slot(decoder, "layers.0.self_attn.v_b_proj")));
            for (int row = 0; row < 64; row++) {
                int stored = row / 16 * 32 + 16 + row % 16;
                assertThat(java.util.Arrays.copyOfRange(v, row * 32, (row + 1) * 32))
                        .containsExactly(java.util.Arrays.copyOfRange(whole, stored * 32, (stored + 1) * 32));
            }
        }
    }

    @Test
    void aCompressedQueryGoesThroughItsNormAndTwoProjections() {
        ObjectNode json = json("deepseek_v2");
        json.put("q_lora_rank", 24);
        assertThatThrownBy(() -> decoder("deepseek_v2", j -> j.put("q_lora_rank", 24), name -> name))
                .hasMessageContaining("self_attn.q_a_proj.weight is missing");
        DecoderConfig config = DecoderConfig.fromJson("config.json", json.toString());
        Decoder decoder = Decoder.of(config, new ShapesOnly(config, json("deepseek_v2")));
        List<Op> ops = decoder.program().ops();
        Op.Linear first = (Op.Linear) ops.get(2);
        assertThat(first.weights().stream().map(w -> decoder.program().tensor(w).name()))
                .containsExactly(
                        "layers.0.self_attn.kv_latent", "layers.0.self_attn.kv_rope", "layers.0.self_attn.q_a_proj");
        assertThat(ops.subList(3, 9).stream().map(op -> op.code().name()))
                .containsExactly("RMS_NORM", "ROPE", "KV_WRITE", "RMS_NORM", "LINEAR", "ROPE");
        assertThat(decoder.slots().get("layers.0.self_attn.q_b_proj.rope"))
                .isEqualTo(new WeightSlot(
                        "layers.0.self_attn.q_b_proj.rope",
                        "model.layers.0.self_attn.q_b_proj.weight",
                        List.of(32, 24),
                        new WeightSlot.Rows(List.of(96, 24), 16, 8, 24, false)));
    }

    /** No checkpoint of SmolLM3 is golden: where all layers turn it is Llama, which is. */
    @Test
    void smolLm3IsLlamaWithLayersThatDoNotTurn() {
        Decoder turning = decoder(
                "smollm",
                json -> {
                    json.putArray("architectures").add("SmolLM3ForCausalLM");
                    json.putArray("no_rope_layers").add(1).add(1);
                },
                name -> name);
        assertThat(turning.program())
                .isEqualTo(decoder("smollm", json -> {}, name -> name).program());
        Decoder still = decoder(
                "smollm",
                json -> {
                    json.putArray("architectures").add("SmolLM3ForCausalLM");
                    json.put("no_rope_layer_interval", 2).remove("tie_word_embeddings");
                },
                name -> name);
        assertThat(still.program().ops().stream()
                        .filter(op -> op instanceof Op.Rope || op instanceof Op.Attention)
                        .map(op -> op.code().name()))
                .containsExactly("ROPE", "ROPE", "ATTENTION", "ATTENTION");
        assertThat(still.slots()).doesNotContainKey("lm_head");
    }

    @ParameterizedTest
    @CsvSource({
        "llama, num_hidden_layers, 2, model.layers.2.input_layernorm.weight is there (and 8 others like it)",
        "mixtral, num_local_experts, 3, model.layers.0.block_sparse_moe.gate.weight has shape",
        "mixtral, num_local_experts, 5, model.layers.0.block_sparse_moe.gate.weight has shape",
        "qwen2_moe, shared_expert_intermediate_size, 64, mlp.shared_expert.gate_proj.weight has shape",
        "deepseek_v2, kv_lora_rank, 16, self_attn.kv_a_proj_with_mqa.weight has shape",
        "deepseek_v2, v_head_dim, 8, self_attn.kv_b_proj.weight has shape",
        "deepseek_v2, n_shared_experts, 1, mlp.shared_experts.gate_proj.weight has shape",
        "deepseek_v2, first_k_dense_replace, 0, model.layers.0.mlp.gate.weight is missing",
        "phi3, num_key_value_heads, 2, self_attn.qkv_proj.weight has shape",
        "phi3, intermediate_size, 128, mlp.gate_up_proj.weight has shape",
        "gemma3, head_dim, 16, self_attn.q_proj.weight has shape",
        "olmo2, num_key_value_heads, 1, self_attn.k_proj.weight has shape",
    })
    void aContradictionNamesTheTensor(String family, String key, int value, String message) {
        assertThatThrownBy(() -> decoder(family, json -> json.put(key, value), name -> name))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-MODEL-003"))
                .hasMessageStartingWith("config.json: tensor ")
                .hasMessageContaining(message)
                .hasMessageContaining("from ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"qwen2", "qwen3", "gemma2", "olmo2"})
    void aCheckpointUnderAnotherFamilysNameIsRefused(String family) {
        assertThatThrownBy(() ->
                        decoder(family, json -> json.putArray("architectures").add("LlamaForCausalLM"), name -> name))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).startsWith("MR-MODEL-00"));
    }
}
