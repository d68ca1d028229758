package io.millrace.worker.model.config;

import io.millrace.worker.model.config.DecoderConfig.Placement;
import io.millrace.worker.model.config.DecoderConfig.QkNorm;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A family of models: what its code says and its configs leave out. Everything else is read from the config; see
 * {@code docs/add-a-model-family.md}.
 */
enum Family {
    LLAMA("Llama 2 and 3.x, SmolLM", "llama", Placement.BEFORE, QkNorm.NONE, names("LlamaForCausalLM")),
    SMOLLM3(
            "SmolLM3",
            "smollm3",
            Placement.BEFORE,
            QkNorm.NONE,
            names("SmolLM3ForCausalLM"),
            Trait.TIED,
            Trait.LATE_WINDOWS,
            Trait.LAYERS_WITHOUT_ROPE),
    MISTRAL("Mistral", "llama", Placement.BEFORE, QkNorm.NONE, names("MistralForCausalLM"), Trait.WINDOWS),
    MIXTRAL(
            "Mixtral",
            "llama",
            Placement.BEFORE,
            QkNorm.NONE,
            names("MixtralForCausalLM"),
            Trait.WINDOWS,
            Trait.RENORMALISED),
    QWEN2(
            "Qwen2 and 2.5",
            "qwen2",
            Placement.BEFORE,
            QkNorm.NONE,
            names("Qwen2ForCausalLM"),
            Trait.QKV_BIAS,
            Trait.LATE_WINDOWS),
    QWEN3("Qwen3", "qwen3", Placement.BEFORE, QkNorm.PER_HEAD, names("Qwen3ForCausalLM"), Trait.LATE_WINDOWS),
    QWEN2_MOE(
            "Qwen2-MoE",
            "qwen2moe",
            Placement.BEFORE,
            QkNorm.NONE,
            names("Qwen2MoeForCausalLM"),
            Trait.QKV_BIAS,
            Trait.LATE_WINDOWS,
            Trait.SHARED_GATE),
    QWEN3_MOE(
            "Qwen3-MoE",
            "qwen3moe",
            Placement.BEFORE,
            QkNorm.PER_HEAD,
            names("Qwen3MoeForCausalLM"),
            Trait.LATE_WINDOWS,
            Trait.RENORMALISED),
    GEMMA("Gemma", "gemma", Placement.BEFORE, QkNorm.NONE, names("GemmaForCausalLM"), Trait.GEMMA, Trait.TIED),
    GEMMA2(
            "Gemma 2",
            "gemma2",
            Placement.BEFORE_AND_AFTER,
            QkNorm.NONE,
            names("Gemma2ForCausalLM"),
            Trait.GEMMA,
            Trait.TIED,
            Trait.WINDOWS,
            Trait.SOFT_CAPS),
    GEMMA3(
            "Gemma 3 text",
            "gemma3",
            Placement.BEFORE_AND_AFTER,
            QkNorm.PER_HEAD,
            names("Gemma3ForCausalLM", "Gemma3ForConditionalGeneration"),
            Trait.GEMMA,
            Trait.TIED,
            Trait.WINDOWS,
            Trait.LOCAL_ROPE),
    PHI3("Phi-3, Phi-4", "phi3", Placement.BEFORE, QkNorm.NONE, names("Phi3ForCausalLM"), Trait.WINDOWS),
    OLMO2("OLMo 2", "olmo2", Placement.AFTER, QkNorm.WHOLE, names("Olmo2ForCausalLM")),
    GRANITE("Granite 3", "granite", Placement.BEFORE, QkNorm.NONE, names("GraniteForCausalLM"), Trait.MULTIPLIERS),
    DEEPSEEK2(
            "DeepSeek-V2",
            "deepseek2",
            Placement.BEFORE,
            QkNorm.NONE,
            names("DeepseekV2ForCausalLM"),
            Trait.LATENT,
            Trait.PAIRED);

    /** What a family's code does although no key of its config says so. */
    enum Trait {
        /** Q, K and V have biases. */
        QKV_BIAS,
        /** Norms store w - 1, embeddings are multiplied by √hidden, the MLP uses GELU. */
        GEMMA,
        /** Output and embedding are one, where no key says otherwise. */
        TIED,
        /** Some layers do not turn queries and keys: {@code no_rope_layers}, or every fourth. */
        LAYERS_WITHOUT_ROPE,
        /** {@code sliding_window} counts whenever it is there. */
        WINDOWS,
        /** {@code sliding_window} counts only with {@code use_sliding_window}, from layer {@code max_window_layers} on. */
        LATE_WINDOWS,
        SOFT_CAPS,
        /** Layers with a window have frequencies of their own. */
        LOCAL_ROPE,
        /** Embedding, attention, residual and logit multipliers. */
        MULTIPLIERS,
        /** The weights of the chosen experts are made to add up to 1, where no key says otherwise. */
        RENORMALISED,
        /** A sigmoid weighs the shared expert. */
        SHARED_GATE,
        /** Latent attention. */
        LATENT,
        /** Rotated values are neighbours also in safetensors. */
        PAIRED
    }

    /** GGUF architectures whose files hold q and k rows so that rotated values are neighbours. */
    private static final Set<String> PAIRED_IN_GGUF = Set.of("llama", "smollm3", "granite", "deepseek2");

    private static final Map<String, Double> GEMMA_DEFAULTS = Map.of(
            "head_dim",
            256.0,
            "max_position_embeddings",
            8192.0,
            "query_pre_attn_scalar",
            256.0,
            "sliding_window",
            4096.0);

    /** Configs of the models that also see leave out nearly everything. */
    private static final Map<String, Double> GEMMA3_DEFAULTS = Map.of(
            "head_dim", 256.0,
            "query_pre_attn_scalar", 256.0,
            "max_position_embeddings", 131072.0,
            "sliding_window", 4096.0,
            "num_attention_heads", 8.0,
            "num_key_value_heads", 4.0,
            "vocab_size", 262208.0,
            "rope_theta", 1e6);

    private final String people;
    private final String gguf;
    private final Placement placement;
    private final QkNorm qkNorm;
    private final List<String> names;
    private final Set<Trait> traits;

    Family(String people, String gguf, Placement placement, QkNorm qkNorm, List<String> names, Trait... traits) {
        this.people = people;
        this.gguf = gguf;
        this.placement = placement;
        this.qkNorm = qkNorm;
        this.names = names;
        this.traits = traits.length == 0 ? Set.of() : EnumSet.copyOf(List.of(traits));
    }

    private static List<String> names(String... names) {
        return List.of(names);
    }

    /** By the first entry of {@code architectures}. */
    static Optional<Family> ofClass(String name) {
        return Arrays.stream(values()).filter(f -> f.names.contains(name)).findFirst();
    }

    /** By {@code model_type}, where {@code architectures} is missing. */
    static Optional<Family> ofType(String type) {
        String plain = type.replace("_", "").replace("text", "");
        return Arrays.stream(values())
                .filter(f -> f.names.stream()
                        .anyMatch(n -> n.toLowerCase(java.util.Locale.ROOT).equals(plain + "forcausallm")))
                .findFirst();
    }

    /** By {@code general.architecture}; the first, where several share one. */
    static Optional<Family> ofGguf(String architecture) {
        return Arrays.stream(values()).filter(f -> f.gguf.equals(architecture)).findFirst();
    }

    /** All families, for a message. */
    static String supported() {
        return Arrays.stream(values())
                .map(f -> f.people + " (" + f.names.getFirst() + ", GGUF " + f.gguf + ")")
                .collect(Collectors.joining(", "));
    }

    boolean is(Trait trait) {
        return traits.contains(trait);
    }

    /** As GGUF files and messages name it. */
    String gguf() {
        return gguf;
    }

    /** As messages name it. */
    String title() {
        return name().toLowerCase(java.util.Locale.ROOT);
    }

    Placement placement() {
        return placement;
    }

    QkNorm qkNorm() {
        return qkNorm;
    }

    Rope.Layout layout(DecoderConfig.Naming naming) {
        boolean pairs = naming == DecoderConfig.Naming.GGUF ? PAIRED_IN_GGUF.contains(gguf) : is(Trait.PAIRED);
        return pairs ? Rope.Layout.PAIRS : Rope.Layout.HALVES;
    }

    /** Values of keys that a config of this family may leave out. */
    Map<String, Double> defaults() {
        return switch (this) {
            case GEMMA, GEMMA2 -> GEMMA_DEFAULTS;
            case GEMMA3 -> GEMMA3_DEFAULTS;
            case MIXTRAL -> Map.of("rope_theta", 1e6);
            case SMOLLM3 -> Map.of("rope_theta", 2e6, "max_position_embeddings", 32768.0, "sliding_window", 4096.0);
            case QWEN3 -> Map.of("head_dim", 128.0);
            default -> Map.of();
        };
    }
}
