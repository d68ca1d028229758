package io.millrace.worker.model.config;

import io.millrace.worker.model.config.DecoderConfig.Activation;
import io.millrace.worker.model.config.DecoderConfig.Biases;
import io.millrace.worker.model.config.DecoderConfig.Multipliers;
import io.millrace.worker.model.config.DecoderConfig.Naming;
import io.millrace.worker.model.config.DecoderConfig.Norm;
import io.millrace.worker.model.config.DecoderConfig.QkNorm;
import io.millrace.worker.model.config.DecoderConfig.SoftCaps;
import java.util.Collections;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Reads {@code config.json}. */
final class JsonConfig {

    private final ConfigErrors errors;
    private final JsonNode root;

    JsonConfig(String origin, String json) {
        this.errors = new ConfigErrors(origin);
        try {
            this.root = JsonMapper.shared().readTree(json);
        } catch (JacksonException e) {
            throw errors.wrong("the file", "is not valid JSON (" + e.getOriginalMessage() + ")");
        }
        if (!root.isObject()) {
            throw errors.wrong("the file", "is not a JSON object");
        }
    }

    DecoderConfig read() {
        architecture();
        if (root.hasNonNull("quantization_config")) {
            throw errors.unsupported(
                    "quantization_config",
                    root.get("quantization_config").path("quant_method").asString("present"),
                    "safetensors of f32, f16 or bf16, and GGUF files");
        }
        int hidden = integer("hidden_size", ConfigErrors.MAX_SIZE);
        int heads = integer("num_attention_heads", ConfigErrors.MAX_SIZE);
        int kvHeads = has("num_key_value_heads") ? integer("num_key_value_heads", ConfigErrors.MAX_SIZE) : heads;
        int headDim = headDim(hidden, heads);
        int layers = integer("num_hidden_layers", ConfigErrors.MAX_LAYERS);
        int context = has("max_position_embeddings") ? integer("max_position_embeddings", Integer.MAX_VALUE) : 2048;
        Rope rope = rope(headDim, context);
        errors.heads(heads, kvHeads, headDim, rope.dims());
        boolean attentionBias = flag("attention_bias");
        return new DecoderConfig(
                "llama",
                errors.origin(),
                Naming.HUGGING_FACE,
                hidden,
                integer("intermediate_size", ConfigErrors.MAX_SIZE),
                layers,
                heads,
                kvHeads,
                headDim,
                integer("vocab_size", ConfigErrors.MAX_SIZE),
                context,
                Norm.RMS,
                (float) errors.positive("rms_norm_eps", number(root, "rms_norm_eps", 1e-6)),
                QkNorm.NONE,
                activation(),
                rope,
                Collections.nCopies(layers, 0),
                new Biases(attentionBias, attentionBias, flag("mlp_bias")),
                new SoftCaps(0, 0),
                new Multipliers(1, (float) (1 / Math.sqrt(headDim)), 1, 1),
                flag("tie_word_embeddings"),
                null,
                null);
    }

    private void architecture() {
        String type = root.path("model_type").asString("");
        String name = root.path("architectures").path(0).asString(type.isEmpty() ? "(none)" : type);
        boolean byName = name.equals("LlamaForCausalLM");
        boolean byType = root.path("architectures").isMissingNode() && type.equals("llama");
        if (!byName && !byType) {
            throw errors.architecture(name);
        }
    }

    private int headDim(int hidden, int heads) {
        if (has("head_dim")) {
            return integer("head_dim", ConfigErrors.MAX_SIZE);
        }
        if (hidden % heads != 0) {
            throw errors.wrong(
                    "hidden_size",
                    "is " + hidden + ", not a multiple of num_attention_heads " + heads + ", and there is no head_dim");
        }
        return hidden / heads;
    }

    private Activation activation() {
        String name = root.path("hidden_act").asString("silu");
        return switch (name) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu_pytorch_tanh", "gelu_tanh" -> Activation.GELU_TANH;
            default -> throw errors.unsupported("hidden_act", name, "silu, gelu_pytorch_tanh");
        };
    }

    private Rope rope(int headDim, int context) {
        JsonNode newer = root.path("rope_parameters");
        JsonNode scaling = newer.isObject() ? newer : root.path("rope_scaling");
        double theta = errors.positive(
                "rope_theta", number(newer.isObject() && newer.has("rope_theta") ? newer : root, "rope_theta", 10000));
        double partial = number(newer.has("partial_rotary_factor") ? newer : root, "partial_rotary_factor", 1);
        int dims = (int) (headDim * partial);
        String kind = scaling.path("rope_type").asString(scaling.path("type").asString("default"));
        Rope.Kind parsed = switch (kind) {
            case "default" -> Rope.Kind.DEFAULT;
            case "linear" -> Rope.Kind.LINEAR;
            case "llama3" -> Rope.Kind.LLAMA3;
            case "yarn" -> Rope.Kind.YARN;
            default -> throw errors.unsupported("rope type", kind, "default, linear, llama3, yarn");
        };
        if (parsed == Rope.Kind.DEFAULT) {
            return Rope.plain(Rope.Layout.HALVES, theta, dims);
        }
        double original = number(
                scaling, "original_max_position_embeddings", number(root, "original_max_position_embeddings", context));
        Rope rope = new Rope(
                parsed,
                Rope.Layout.HALVES,
                theta,
                dims,
                errors.positive("rope factor", number(scaling, "factor", Double.NaN)),
                errors.size("original_max_position_embeddings", (long) original, Integer.MAX_VALUE),
                errors.positive("low_freq_factor", number(scaling, "low_freq_factor", 1)),
                errors.positive("high_freq_factor", number(scaling, "high_freq_factor", 4)),
                errors.positive("beta_fast", number(scaling, "beta_fast", 32)),
                errors.positive("beta_slow", number(scaling, "beta_slow", 1)),
                number(scaling, "attention_factor", Double.NaN),
                number(scaling, "mscale", 0),
                number(scaling, "mscale_all_dim", 0),
                scaling.path("truncate").asBoolean(true),
                List.of(),
                List.of());
        if (parsed == Rope.Kind.LLAMA3 && rope.lowFreqFactor() == rope.highFreqFactor()) {
            throw errors.wrong("high_freq_factor", "equals low_freq_factor");
        }
        return rope;
    }

    private boolean has(String key) {
        return root.hasNonNull(key);
    }

    private boolean flag(String key) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return false;
        }
        if (!node.isBoolean()) {
            throw errors.wrong(key, "is " + shown(node) + " where true or false is needed");
        }
        return node.booleanValue();
    }

    private int integer(String key, int max) {
        JsonNode node = root.path(key);
        if (node.isMissingNode() || node.isNull()) {
            throw errors.wrong(key, "is missing");
        }
        if (!node.isIntegralNumber() || !node.canConvertToLong()) {
            throw errors.wrong(key, "is " + shown(node) + " where a whole number is needed");
        }
        return errors.size(key, node.longValue(), max);
    }

    private double number(JsonNode parent, String key, double otherwise) {
        JsonNode node = parent.path(key);
        if (node.isMissingNode() || node.isNull()) {
            return otherwise;
        }
        if (!node.isNumber()) {
            throw errors.wrong(key, "is " + shown(node) + " where a number is needed");
        }
        return node.doubleValue();
    }

    private static String shown(JsonNode node) {
        String text = node.toString();
        return text.length() > 60 ? text.substring(0, 60) + "…" : text;
    }
}
