package io.millrace.worker.model.config;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig.LayerKind;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** What config.json and GGUF metadata say, and what they may not say. */
class DecoderConfigTest {

    private static ObjectNode json(String family) {
        return (ObjectNode) Golden.json("models/" + family + "-tiny/config.json");
    }

    private static DecoderConfig read(ObjectNode json) {
        return DecoderConfig.fromJson("config.json", json.toString());
    }

    @Test
    void theClassicFormIsRead() {
        DecoderConfig config = read(json("llama3"));
        assertThat(config.heads()).isEqualTo(4);
        assertThat(config.kvHeads()).isEqualTo(2);
        assertThat(config.groupSize()).isEqualTo(2);
        assertThat(config.headDim()).isEqualTo(32);
        assertThat(config.layerKinds()).containsOnly(new LayerKind(0, 0, false)).hasSize(3);
        assertThat(config.ropes().getFirst().kind()).isEqualTo(Rope.Kind.LLAMA3);
        assertThat(config.ropes().getFirst().theta()).isEqualTo(500000);
        assertThat(config.ropes().getFirst().originalContext()).isEqualTo(64);
        assertThat(config.tiedEmbeddings()).isFalse();
        assertThat(read(json("smollm")).tiedEmbeddings()).isTrue();
    }

    @Test
    void theNewerFormSaysTheSame() {
        ObjectNode newer = json("llama3");
        ObjectNode rope = (ObjectNode) newer.remove("rope_scaling");
        rope.put("rope_theta", newer.remove("rope_theta").doubleValue());
        newer.set("rope_parameters", rope);
        newer.put("dtype", newer.remove("torch_dtype").asString());
        assertThat(read(newer)).isEqualTo(read(json("llama3")));
    }

    @Test
    void linearAndYarnFrequenciesFollowTheirPapers() {
        Rope plain = Rope.plain(Rope.Layout.HALVES, 10000, 16);
        float[] base = RopeFrequencies.of(plain, 512).inverse();
        assertThat(base[0]).isEqualTo(1);
        assertThat(base[4]).isCloseTo(0.01f, within(1e-7f));
        ObjectNode linear = json("llama");
        linear.putObject("rope_scaling").put("type", "linear").put("factor", 4.0);
        float[] slowed =
                RopeFrequencies.of(read(linear).ropes().getFirst(), 512).inverse();
        for (int i = 0; i < base.length; i++) {
            assertThat(slowed[i]).isEqualTo(base[i] / 4);
        }
        Rope rope = read(json("llama-yarn")).ropes().getFirst();
        RopeFrequencies yarn = RopeFrequencies.of(rope, 512);
        float[] unscaled = RopeFrequencies.of(Rope.plain(rope.layout(), rope.theta(), rope.dims()), 512)
                .inverse();
        int last = unscaled.length - 1;
        assertThat(yarn.inverse()[0]).isEqualTo(1);
        assertThat(yarn.inverse()[last]).isCloseTo(unscaled[last] / 8, within(1e-9f));
        assertThat(yarn.scale()).isCloseTo((float) (0.1 * Math.log(8) + 1), within(1e-6f));
    }

    @ParameterizedTest
    @ValueSource(strings = {"GPT2LMHeadModel", "DeepseekV3ForCausalLM", "MambaForCausalLM"})
    void anotherArchitectureIsRefusedNamingItAndTheSupportedOnes(String name) {
        ObjectNode json = json("llama");
        json.putArray("architectures").add(name);
        assertThatThrownBy(() -> read(json))
                .isInstanceOf(MillraceException.class)
                .hasMessageStartingWith("config.json: architecture " + name + " is not supported; supported: Llama")
                .hasMessageContaining("Gemma 3 text (Gemma3ForCausalLM, GGUF gemma3)")
                .hasMessageEndingWith("Choose a model of one of these.");
    }

    @ParameterizedTest
    @CsvSource({
        "num_attention_heads, 0, MR-MODEL-002",
        "num_attention_heads, 5, MR-MODEL-002",
        "num_key_value_heads, 3, MR-MODEL-002",
        "num_hidden_layers, -1, MR-MODEL-002",
        "num_hidden_layers, 4000000000, MR-MODEL-002",
        "hidden_size, 64.5, MR-MODEL-002",
        "hidden_size, '\"64\"', MR-MODEL-002",
        "hidden_size, null, MR-MODEL-002",
        "vocab_size, 99999999999999999999, MR-MODEL-002",
        "rms_norm_eps, 0, MR-MODEL-002",
        "rope_theta, -1, MR-MODEL-002",
        "hidden_act, '\"relu2\"', MR-MODEL-004",
        "tie_word_embeddings, 1, MR-MODEL-002",
        "head_dim, 15, MR-MODEL-002",
        "rope_scaling, '{\"rope_type\":\"twisted\",\"factor\":2}', MR-MODEL-004",
        "rope_scaling, '{\"rope_type\":\"linear\"}', MR-MODEL-002",
    })
    void aWrongValueIsNamed(String key, String value, String code) {
        ObjectNode json = json("llama");
        json.set(key, JsonMapper.shared().readTree(value));
        assertThatThrownBy(() -> read(json))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageStartingWith("config.json: ");
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "{", "[]", "null", "\u0000", "{\"architectures\":5}"})
    void whatIsNoConfigIsRefused(String text) {
        assertThatThrownBy(() -> DecoderConfig.fromJson("x/config.json", text))
                .isInstanceOf(MillraceException.class)
                .hasMessageStartingWith("x/config.json: ");
        assertThat(text.getBytes(StandardCharsets.UTF_8).length).isLessThan(30);
    }

    private static Map<String, Object> metadata() {
        Map<String, Object> map = new HashMap<>();
        map.put("general.architecture", "llama");
        map.put("llama.embedding_length", 64L);
        map.put("llama.attention.head_count", 4L);
        map.put("llama.attention.head_count_kv", new long[] {2, 2, 2});
        map.put("llama.block_count", 3L);
        map.put("llama.context_length", 512L);
        map.put("llama.feed_forward_length", 160L);
        map.put("llama.attention.layer_norm_rms_epsilon", 1e-5);
        map.put("tokenizer.ggml.tokens", List.of("a", "b", "c"));
        return map;
    }

    @Test
    void ggufMetadataIsRead() {
        DecoderConfig config = DecoderConfig.fromGguf("m.gguf", metadata());
        assertThat(config.kvHeads()).isEqualTo(2);
        assertThat(config.headDim()).isEqualTo(16);
        assertThat(config.vocabularySize()).isEqualTo(3);
        assertThat(config.ropes().getFirst().layout()).isEqualTo(Rope.Layout.PAIRS);
        assertThat(config.ropes().getFirst().theta()).isEqualTo(10000);
    }

    @Test
    void ggufMetadataThatContradictsItselfIsRefused() {
        assertRefused("llama.vocab_size", 4L, "MR-MODEL-002");
        assertRefused("llama.attention.head_count", 0L, "MR-MODEL-002");
        assertRefused("llama.attention.head_count_kv", new long[] {2, 1, 2}, "MR-MODEL-004");
        assertRefused("llama.block_count", 4_000_000_000L, "MR-MODEL-002");
        assertRefused("llama.block_count", "3", "MR-MODEL-002");
        assertRefused("llama.embedding_length", java.math.BigInteger.TWO.pow(63), "MR-MODEL-002");
        assertRefused("llama.rope.dimension_count", 17L, "MR-MODEL-002");
        assertRefused("llama.rope.scaling.type", "twisted", "MR-MODEL-004");
        assertRefused("llama.expert_count", 8L, "MR-MODEL-002");
        assertRefused("general.architecture", "mamba", "MR-MODEL-001");
    }

    private static void assertRefused(String key, Object value, String code) {
        Map<String, Object> map = metadata();
        map.put(key, value);
        assertThatThrownBy(() -> DecoderConfig.fromGguf("m.gguf", map))
                .as(key)
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageStartingWith("m.gguf: ");
    }
}
