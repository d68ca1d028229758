package io.millrace.worker.model.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig.Biases;
import io.millrace.worker.model.config.DecoderConfig.LayerKind;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Configs as publishers write them, with what they leave out. */
class FamilyConfigsTest {

    private static DecoderConfig read(String json) {
        return DecoderConfig.fromJson("config.json", json.replace('\'', '"'));
    }

    private static ObjectNode golden(String family) {
        return (ObjectNode) Golden.json("models/" + family + "-tiny/config.json");
    }

    @Test
    void mistralNemoHasItsOwnHeadDimensionAndNoWindow() {
        DecoderConfig config = read("""
                {'architectures': ['MistralForCausalLM'], 'head_dim': 128, 'hidden_act': 'silu', 'hidden_size': 5120,
                 'intermediate_size': 14336, 'max_position_embeddings': 1024000, 'num_attention_heads': 32,
                 'num_hidden_layers': 40, 'num_key_value_heads': 8, 'rms_norm_eps': 1e-05, 'rope_theta': 1000000.0,
                 'sliding_window': null, 'tie_word_embeddings': false, 'vocab_size': 131072}""");
        assertThat(config.headDim()).isEqualTo(128);
        assertThat(config.layerKinds()).containsOnly(new LayerKind(0, 0, false));
        assertThat(config.contextLength()).isEqualTo(1024000);
    }

    @Test
    void gemma3ThatAlsoSeesLeavesOutNearlyEverything() {
        DecoderConfig config = read("""
                {'architectures': ['Gemma3ForConditionalGeneration'], 'model_type': 'gemma3', 'vision_config': {},
                 'text_config': {'hidden_size': 2560, 'intermediate_size': 10240, 'model_type': 'gemma3_text',
                  'num_hidden_layers': 34, 'rope_scaling': {'factor': 8.0, 'rope_type': 'linear'}, 'sliding_window': 1024}}""");
        assertThat(config.heads()).isEqualTo(8);
        assertThat(config.kvHeads()).isEqualTo(4);
        assertThat(config.headDim()).isEqualTo(256);
        assertThat(config.vocabularySize()).isEqualTo(262208);
        assertThat(config.contextLength()).isEqualTo(131072);
        assertThat(config.tiedEmbeddings()).isTrue();
        assertThat(config.multipliers().attention()).isEqualTo(1 / 16f);
        assertThat(config.ropes()).extracting(Rope::theta).containsExactly(1e6, 1e4);
        assertThat(config.ropes()).extracting(Rope::kind).containsExactly(Rope.Kind.LINEAR, Rope.Kind.DEFAULT);
        assertThat(config.layerKinds().subList(4, 6))
                .containsExactly(new LayerKind(1024, 1, false), new LayerKind(0, 0, false));
    }

    @Test
    void gemma3InTheNewerFormSaysTheSame() {
        ObjectNode newer = golden("gemma3");
        ObjectNode ropes = newer.putObject("rope_parameters");
        ropes.putObject("full_attention")
                .put("rope_type", "linear")
                .put("factor", 8.0)
                .put("rope_theta", 1e6);
        ropes.putObject("sliding_attention").put("rope_type", "default").put("rope_theta", 1e4);
        newer.remove(List.of("rope_scaling", "rope_theta", "rope_local_base_freq", "sliding_window_pattern"));
        var types = newer.putArray("layer_types");
        for (int i = 0; i < 7; i++) {
            types.add((i + 1) % 6 == 0 ? "full_attention" : "sliding_attention");
        }
        assertThat(read(newer.toString())).isEqualTo(read(golden("gemma3").toString()));
    }

    @ParameterizedTest
    @CsvSource({"true, 1, 0/128/128", "true, 3, 0/0/0", "false, 0, 0/0/0"})
    void qwen2HasWindowsInItsLastLayersIfAtAll(boolean use, int from, String windows) {
        ObjectNode json = golden("qwen2").put("use_sliding_window", use).put("max_window_layers", from);
        assertThat(read(json.toString()).layerKinds())
                .extracting(LayerKind::window)
                .containsExactly(java.util.Arrays.stream(windows.split("/"))
                        .map(Integer::valueOf)
                        .toArray(Integer[]::new));
        assertThat(read(json.toString()).biases()).isEqualTo(new Biases(true, false, false));
    }

    @Test
    void expertsAreInTheLayersThatTheConfigSays() {
        ObjectNode json = golden("qwen3_moe").put("decoder_sparse_step", 2);
        json.putArray("mlp_only_layers").add(2);
        assertThat(read(json.toString()).layerKinds())
                .extracting(LayerKind::experts)
                .containsExactly(false, true, false);
        assertThat(read(golden("deepseek_v2").toString()).layerKinds())
                .extracting(LayerKind::experts)
                .containsExactly(false, true, true);
    }

    @Test
    void deepseekV2LimitsGroupsAndStretchesAttention() {
        ObjectNode json = golden("deepseek_v2")
                .put("q_lora_rank", 24)
                .put("topk_method", "group_limited_greedy")
                .put("n_group", 3)
                .put("topk_group", 2)
                .put("routed_scaling_factor", 16.0);
        json.set("rope_scaling", JsonMapper.shared().readTree("""
                {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707, "mscale_all_dim": 0.707,
                 "original_max_position_embeddings": 4096, "type": "yarn"}"""));
        DecoderConfig config = read(json.toString());
        assertThat(Objects.requireNonNull(config.experts()).groups()).isEqualTo(3);
        assertThat(config.experts().keptGroups()).isEqualTo(2);
        assertThat(config.experts().scale()).isEqualTo(16);
        assertThat(Objects.requireNonNull(config.latent()).queryRank()).isEqualTo(24);
        double stretch = 0.1 * 0.707 * Math.log(40) + 1;
        assertThat(config.multipliers().attention())
                .isCloseTo((float) (stretch * stretch / Math.sqrt(24)), within(1e-6f));
        assertThat(RopeFrequencies.of(config.ropes().getFirst(), 512).scale()).isEqualTo(1);
        assertThat(config.cache()).isEqualTo(new DecoderConfig.CacheShape(1, 32, 8));
        assertThat(config.contextLength()).isEqualTo(163840);
        assertThatThrownBy(() -> read(json.put("topk_group", 4).toString())).hasMessageContaining("groups");
        assertThatThrownBy(() -> read(
                        golden("deepseek_v2").put("scoring_func", "sigmoid").toString()))
                .hasMessageContaining("scoring_func is sigmoid");
    }

    @Test
    void longRopeTakesTheListThatTheLongestSequenceNeeds() {
        Rope rope = read(golden("phi4mini").toString()).ropes().getFirst();
        assertThat(rope.dims()).isEqualTo(24);
        RopeFrequencies shorter = RopeFrequencies.of(rope, 76);
        RopeFrequencies longer = RopeFrequencies.of(rope, 77);
        assertThat(shorter.inverse()[1]).isCloseTo((float) (Math.pow(10000, -2 / 24.0) / 1.0317), within(1e-6f));
        assertThat(longer.inverse()[1]).isCloseTo((float) (Math.pow(10000, -2 / 24.0) / 1.4865), within(1e-6f));
        assertThat(shorter.scale()).isEqualTo(longer.scale());
        ObjectNode older = golden("phi4mini");
        ((ObjectNode) older.get("rope_scaling")).put("type", "su");
        assertThat(read(older.toString())).isEqualTo(read(golden("phi4mini").toString()));
        ((ObjectNode) older.get("rope_scaling")).putArray("long_factor").add(1.0);
        assertThatThrownBy(() -> read(older.toString())).hasMessageContaining("long_factor has 1 entries where 12");
    }

    @Test
    void dynamicScalingStretchesTheBaseBeyondTheOriginalContext() {
        ObjectNode json = golden("llama");
        json.putObject("rope_scaling").put("type", "dynamic").put("factor", 2.0);
        DecoderConfig config = read(json.toString());
        Rope rope = config.ropes().getFirst();
        assertThat(config.contextLength()).isEqualTo(1024);
        float[] plain =
                RopeFrequencies.of(Rope.plain(rope.layout(), 10000, 16), 0).inverse();
        assertThat(RopeFrequencies.of(rope, 512).inverse()).isEqualTo(plain);
        double base = 10000 * Math.pow(2 * 2 - 1, 16 / 14.0);
        assertThat(RopeFrequencies.of(rope, 1024).inverse()[3])
                .isCloseTo((float) Math.pow(base, -6 / 16.0), within(1e-7f));
    }

    @Test
    void yarnAddedToAConfigMakesItsContextLonger() {
        ObjectNode json = golden("qwen2").put("max_position_embeddings", 32768);
        json.putObject("rope_scaling")
                .put("type", "yarn")
                .put("factor", 4.0)
                .put("original_max_position_embeddings", 32768);
        assertThat(read(json.toString()).contextLength()).isEqualTo(131072);
    }

    @Test
    void aModelTypeStandsInForAMissingArchitecture() {
        ObjectNode json = golden("qwen3_moe");
        json.remove("architectures");
        assertThat(read(json.toString()).architecture()).isEqualTo("qwen3_moe");
    }

    @Test
    void smolLm3TurnsAsItsListSays() {
        DecoderConfig config = read("""
                {'architectures': ['SmolLM3ForCausalLM'], 'attention_bias': false, 'hidden_act': 'silu', 'hidden_size': 2048,
                 'intermediate_size': 11008, 'max_position_embeddings': 65536, 'max_window_layers': 28, 'mlp_bias': false,
                 'no_rope_layer_interval': 4, 'no_rope_layers': [1, 1, 1, 0, 1, 1, 1, 0], 'num_attention_heads': 16,
                 'num_hidden_layers': 8, 'num_key_value_heads': 4, 'rms_norm_eps': 1e-06, 'rope_theta': 5000000.0,
                 'sliding_window': null, 'use_sliding_window': false, 'vocab_size': 128256}""");
        assertThat(config.layerKinds())
                .extracting(LayerKind::rope)
                .containsExactly(0, 0, 0, LayerKind.NO_ROPE, 0, 0, 0, LayerKind.NO_ROPE);
        assertThat(config.tiedEmbeddings()).isTrue();
    }

    @Test
    void graniteDividesItsLogits() {
        assertThat(read(golden("granite").toString()).multipliers())
                .isEqualTo(new DecoderConfig.Multipliers(2.5f, 0.18f, 0.7f, 2));
    }
}
