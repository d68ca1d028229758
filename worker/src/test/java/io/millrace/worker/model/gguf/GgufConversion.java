package io.millrace.worker.model.gguf;

import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Turns a folder of safetensors into a GGUF file, with the names, keys and changes of values that llama.cpp's converter makes.
 * Besides, it writes {@code attention.scale} for Gemma and {@code attention.sliding_window} for Mistral, which that converter leaves
 * out because sizes of real models imply them or llama.cpp does not use them.
 */
public final class GgufConversion {

    private static final Pattern LAYER = Pattern.compile("model\\.layers\\.(\\d+)\\.(.+)\\.(weight|bias)");
    private static final Pattern EXPERT =
            Pattern.compile("(?:mlp|block_sparse_moe)\\.experts\\.(\\d+)\\.(gate_proj|up_proj|down_proj|w1|w2|w3)");
    private static final Map<String, String> ARCHITECTURES = Map.ofEntries(
            Map.entry("LlamaForCausalLM", "llama"),
            Map.entry("MistralForCausalLM", "llama"),
            Map.entry("MixtralForCausalLM", "llama"),
            Map.entry("Qwen2ForCausalLM", "qwen2"),
            Map.entry("Qwen2MoeForCausalLM", "qwen2moe"),
            Map.entry("Qwen3ForCausalLM", "qwen3"),
            Map.entry("Qwen3MoeForCausalLM", "qwen3moe"),
            Map.entry("Gemma2ForCausalLM", "gemma2"),
            Map.entry("Gemma3ForCausalLM", "gemma3"),
            Map.entry("Phi3ForCausalLM", "phi3"),
            Map.entry("Olmo2ForCausalLM", "olmo2"),
            Map.entry("GraniteForCausalLM", "granite"),
            Map.entry("DeepseekV2ForCausalLM", "deepseek2"));

    private final JsonNode config;
    private final String arch;
    private final boolean older;
    private final GgufWriter out = new GgufWriter();
    private final Map<String, TreeMap<Integer, float[]>> experts = new TreeMap<>();
    private final Map<String, int[]> expertShapes = new TreeMap<>();

    private GgufConversion(JsonNode config, boolean older) {
        this.config = config;
        this.older = older;
        this.arch =
                ARCHITECTURES.getOrDefault(config.path("architectures").path(0).asString(), "none");
    }

    /** @param older as converters were in 2023 and 2024: a tensor for each expert, latent attention as expanded heads */
    public static void convert(Path folder, Path file, boolean older) throws IOException {
        JsonNode config = JsonMapper.shared().readTree(Files.readString(folder.resolve("config.json")));
        GgufConversion conversion = new GgufConversion(config, older);
        conversion.metadata();
        try (WeightSource source = SafetensorsFolder.open(folder)) {
            source.names().stream().sorted().forEach(name -> conversion.tensor(source.tensor(name)));
        }
        conversion.stack();
        conversion.out.write(file);
    }

    private void metadata() {
        out.put("general.architecture", arch);
        key("embedding_length", size("hidden_size"));
        key("block_count", size("num_hidden_layers"));
        key("context_length", size("max_position_embeddings"));
        key("feed_forward_length", size("intermediate_size"));
        key("attention.head_count", size("num_attention_heads"));
        key("attention.head_count_kv", arch.equals("deepseek2") && !older ? 1 : size("num_key_value_heads"));
        key("attention.layer_norm_rms_epsilon", real("rms_norm_eps"));
        key("rope.freq_base", real(config.has("rope_theta") ? config : config.path("rope_parameters"), "rope_theta"));
        if (config.hasNonNull("head_dim")) {
            key("attention.key_length", size("head_dim"));
            key("attention.value_length", size("head_dim"));
        }
        rope();
        switch (arch) {
            case "gemma2", "gemma3" -> gemma();
            case "phi3" ->
                key("attention.sliding_window", config.path("sliding_window").asInt(0));
            case "granite" -> {
                key("attention.scale", real("attention_multiplier"));
                key("embedding_scale", real("embedding_multiplier"));
                key("residual_scale", real("residual_multiplier"));
                key("logit_scale", real("logits_scaling"));
            }
            case "deepseek2" -> deepseek();
            case "llama" -> {
                if (config.hasNonNull("sliding_window")) {
                    key("attention.sliding_window", size("sliding_window"));
                }
            }
            default -> {}
        }
        expertKeys();
        out.put(
                "tokenizer.ggml.tokens",
                IntStream.range(0, size("vocab_size")).mapToObj(i -> "t" + i).toList());
    }

    private void gemma() {
        key("attention.sliding_window", size("sliding_window"));
        key("attention.scale", (float) (1 / Math.sqrt(real("query_pre_attn_scalar"))));
        if (arch.equals("gemma2")) {
            key("attn_logit_softcapping", real("attn_logit_softcapping"));
            key("final_logit_softcapping", real("final_logit_softcapping"));
        }
    }

    private void deepseek() {
        int rank = size("kv_lora_rank");
        int rope = size("qk_rope_head_dim");
        key("leading_dense_block_count", size("first_k_dense_replace"));
        key("attention.kv_lora_rank", rank);
        if (!older) {
            key("attention.key_length", rank + rope);
            key("attention.value_length", rank);
        }
        String suffix = older ? "" : "_mla";
        key("attention.key_length" + suffix, size("qk_nope_head_dim") + rope);
        key("attention.value_length" + suffix, size("v_head_dim"));
        key("rope.dimension_count", rope);
        key("expert_weights_scale", real("routed_scaling_factor"));
        key("expert_shared_count", size("n_shared_experts"));
    }

    private void expertKeys() {
        for (String count : List.of("num_local_experts", "num_experts", "n_routed_experts")) {
            if (config.has(count)) {
                key("expert_count", size(count));
                key("expert_used_count", size("num_experts_per_tok"));
                if (config.has("moe_intermediate_size")) {
                    key("expert_feed_forward_length", size("moe_intermediate_size"));
                }
                if (config.has("shared_expert_intermediate_size")) {
                    key("expert_shared_feed_forward_length", size("shared_expert_intermediate_size"));
                }
            }
        }
    }

    private void rope() {
        JsonNode scaling = config.path("rope_scaling");
        int headDim = config.path("head_dim").asInt(size("hidden_size") / size("num_attention_heads"));
        int dims = (int) (headDim * config.path("partial_rotary_factor").asDouble(1));
        if (!arch.equals("deepseek2")) {
            key("rope.dimension_count", dims);
        }
        switch (scaling.path("rope_type").asString(scaling.path("type").asString("default"))) {
            case "linear" -> {
                key("rope.scaling.type", "linear");
                key("rope.scaling.factor", real(scaling, "factor"));
            }
            case "yarn" -> {
                key("rope.scaling.type", "yarn");
                key("rope.scaling.factor", real(scaling, "factor"));
                key(
                        "rope.scaling.original_context_length",
                        scaling.get("original_max_position_embeddings").intValue());
            }
            case "llama3" -> out.tensor("rope_freqs.weight", llama3(scaling, dims), dims / 2);
            case "longrope" -> {
                int original = size("original_max_position_embeddings");
                double scale = (double) size("max_position_embeddings") / original;
                key("rope.scaling.original_context_length", original);
                key("rope.scaling.attn_factor", (float) Math.sqrt(1 + Math.log(scale) / Math.log(original)));
                out.tensor("rope_factors_long.weight", floats(scaling.get("long_factor")), dims / 2);
                out.tensor("rope_factors_short.weight", floats(scaling.get("short_factor")), dims / 2);
            }
            default -> {}
        }
    }

    private float[] llama3(JsonNode scaling, int dims) {
        float[] factors = new float[dims / 2];
        double factor = real(scaling, "factor");
        double original = scaling.get("original_max_position_embeddings").doubleValue();
        double low = real(scaling, "low_freq_factor");
        double high = real(scaling, "high_freq_factor");
        for (int i = 0; i < factors.length; i++) {
            double wave = 2 * Math.PI * Math.pow(real("rope_theta"), 2.0 * i / dims);
            double smooth = (original / wave - low) / (high - low);
            factors[i] = (float)
                    (wave < original / high
                            ? 1
                            : wave > original / low ? factor : 1 / ((1 - smooth) / factor + smooth));
        }
        return factors;
    }

    private void tensor(WeightTensor tensor) {
        float[] values = Dequantizer.all(tensor);
        int[] shape = Arrays.stream(tensor.shape()).mapToInt(n -> (int) n).toArray();
        String name = tensor.name();
        if (arch.startsWith("gemma") && name.endsWith("norm.weight")) {
            for (int i = 0; i < values.length; i++) {
                values[i] += 1;
            }
        }
        Matcher layer = LAYER.matcher(name);
        if (!layer.matches()) {
            String own = switch (name) {
                case "model.embed_tokens.weight" -> "token_embd.weight";
                case "model.norm.weight" -> "output_norm.weight";
                default -> "output.weight";
            };
            out.tensor(own, values, shape);
            return;
        }
        String block = "blk." + layer.group(1) + ".";
        String part = layer.group(2);
        Matcher expert = EXPERT.matcher(part);
        if (expert.matches() && older) {
            out.tensor(block + ggufExpert(expert.group(2)) + "." + expert.group(1) + ".weight", values, shape);
        } else if (expert.matches()) {
            String stacked = block + ggufExpert(expert.group(2)) + "_exps.weight";
            experts.computeIfAbsent(stacked, k -> new TreeMap<>()).put(Integer.parseInt(expert.group(1)), values);
            expertShapes.put(stacked, shape);
        } else if (part.equals("self_attn.kv_b_proj") && !older) {
            latent(block, values);
        } else if (part.equals("mlp.shared_expert_gate")) {
            out.tensor(block + "ffn_gate_inp_shexp.weight", values, values.length);
        } else {
            float[] kept = arch.equals("llama") || arch.equals("granite") ? permuted(part, values, shape) : values;
            out.tensor(block + gguf(part) + "." + layer.group(3), kept, shape);
        }
    }

    private void stack() {
        experts.forEach((name, parts) -> {
            int[] shape = java.util.Objects.requireNonNull(expertShapes.get(name));
            float[] all = new float[parts.size() * shape[0] * shape[1]];
            parts.forEach((i, values) -> System.arraycopy(values, 0, all, i * values.length, values.length));
            out.tensor(name, all, parts.size(), shape[0], shape[1]);
        });
    }

    /** Rows of each head of q and k so that the two values that turn together are neighbours. */
    private float[] permuted(String part, float[] values, int[] shape) {
        int heads = switch (part) {
            case "self_attn.q_proj" -> size("num_attention_heads");
            case "self_attn.k_proj" -> size("num_key_value_heads");
            default -> 0;
        };
        if (heads == 0) {
            return values;
        }
        int in = values.length / shape[0];
        int half = shape[0] / heads / 2;
        float[] result = new float[values.length];
        for (int h = 0; h < heads; h++) {
            for (int i = 0; i < half; i++) {
                for (int side = 0; side < 2; side++) {
                    int from = (h * 2 * half + side * half + i) * in;
                    System.arraycopy(values, from, result, (h * 2 * half + 2 * i + side) * in, in);
                }
            }
        }
        return result;
    }

    private void latent(String block, float[] values) {
        int heads = size("num_attention_heads");
        int nope = size("qk_nope_head_dim");
        int value = size("v_head_dim");
        int rank = size("kv_lora_rank");
        float[] k = new float[heads * rank * nope];
        float[] v = new float[heads * value * rank];
        for (int h = 0; h < heads; h++) {
            int from = h * (nope + value) * rank;
            for (int i = 0; i < nope; i++) {
                for (int r = 0; r < rank; r++) {
                    k[(h * rank + r) * nope + i] = values[from + i * rank + r];
                }
            }
            System.arraycopy(values, from + nope * rank, v, h * value * rank, value * rank);
        }
        out.tensor(block + "attn_k_b.weight", k, heads, rank, nope);
        out.tensor(block + "attn_v_b.weight", v, heads, value, rank);
    }

    private static String ggufExpert(String part) {
        return switch (part) {
            case "gate_proj", "w1" -> "ffn_gate";
            case "up_proj", "w3" -> "ffn_up";
            default -> "ffn_down";
        };
    }

    private String gguf(String part) {
        boolean sandwich = List.of("gemma2", "gemma3", "olmo2").contains(arch);
        return switch (part) {
            case "input_layernorm" -> "attn_norm";
            case "post_attention_layernorm" -> sandwich ? "post_attention_norm" : "ffn_norm";
            case "pre_feedforward_layernorm" -> "ffn_norm";
            case "post_feedforward_layernorm" -> "post_ffw_norm";
            case "self_attn.q_proj" -> "attn_q";
            case "self_attn.k_proj" -> "attn_k";
            case "self_attn.v_proj" -> "attn_v";
            case "self_attn.qkv_proj" -> "attn_qkv";
            case "self_attn.o_proj" -> "attn_output";
            case "self_attn.q_norm" -> "attn_q_norm";
            case "self_attn.k_norm" -> "attn_k_norm";
            case "self_attn.kv_a_proj_with_mqa" -> "attn_kv_a_mqa";
            case "self_attn.kv_b_proj" -> "attn_kv_b";
            case "self_attn.kv_a_layernorm" -> "attn_kv_a_norm";
            case "mlp.gate_proj" -> "ffn_gate";
            case "mlp.up_proj", "mlp.gate_up_proj" -> "ffn_up";
            case "mlp.down_proj" -> "ffn_down";
            case "mlp.gate", "block_sparse_moe.gate" -> "ffn_gate_inp";
            case "mlp.shared_expert.gate_proj", "mlp.shared_experts.gate_proj" -> "ffn_gate_shexp";
            case "mlp.shared_expert.up_proj", "mlp.shared_experts.up_proj" -> "ffn_up_shexp";
            case "mlp.shared_expert.down_proj", "mlp.shared_experts.down_proj" -> "ffn_down_shexp";
            default -> throw new IllegalArgumentException(part);
        };
    }

    private void key(String key, Object value) {
        out.put(arch + "." + key, value);
    }

    private int size(String key) {
        return config.get(key).intValue();
    }

    private float real(String key) {
        return real(config, key);
    }

    private static float real(JsonNode node, String key) {
        return node.get(key).floatValue();
    }

    private static float[] floats(JsonNode node) {
        List<Float> values = new ArrayList<>();
        node.forEach(n -> values.add(n.floatValue()));
        float[] result = new float[values.size()];
        for (int i = 0; i < result.length; i++) {
            result[i] = values.get(i);
        }
        return result;
    }
}
