package io.millrace.worker.model.config;

import io.millrace.worker.model.config.DecoderConfig.Activation;
import io.millrace.worker.model.config.DecoderConfig.Biases;
import io.millrace.worker.model.config.DecoderConfig.Experts;
import io.millrace.worker.model.config.DecoderConfig.Latent;
import io.millrace.worker.model.config.DecoderConfig.LayerKind;
import io.millrace.worker.model.config.DecoderConfig.Multipliers;
import io.millrace.worker.model.config.DecoderConfig.Naming;
import io.millrace.worker.model.config.DecoderConfig.Norms;
import io.millrace.worker.model.config.DecoderConfig.SoftCaps;
import io.millrace.worker.model.config.Family.Trait;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Reads {@code config.json}. */
final class JsonConfig {

    private final ConfigErrors errors;
    private final JsonFields root;

    JsonConfig(String origin, String json) {
        this.errors = new ConfigErrors(origin);
        this.root = JsonFields.parse(errors, json);
    }

    DecoderConfig read() {
        Family family = family();
        // A model that also sees has its language part in an object of its own.
        JsonFields text =
                (root.isObject("text_config") ? root.object("text_config") : root).withDefaults(family.defaults());
        return read(family, text);
    }

    private DecoderConfig read(Family family, JsonFields text) {
        int hidden = text.size("hidden_size", ConfigErrors.MAX_SIZE);
        int heads = text.size("num_attention_heads", ConfigErrors.MAX_SIZE);
        int kvHeads = text.size("num_key_value_heads", ConfigErrors.MAX_SIZE, heads);
        Latent latent = family.is(Trait.LATENT) ? latent(text) : null;
        int headDim = latent == null ? headDim(text, hidden, heads) : latent.nopeDim() + latent.ropeDim();
        JsonRope rope = new JsonRope(family, text, latent == null ? headDim : latent.ropeDim());
        List<Rope> ropes = rope.tables();
        for (Rope table : ropes) {
            errors.heads(heads, latent == null ? kvHeads : heads, headDim, table.dims());
        }
        if (text.flag("use_bidirectional_attention", false)) {
            throw errors.unsupported("use_bidirectional_attention", "true", "causal attention");
        }
        JsonLayers layers = new JsonLayers(family, text);
        List<LayerKind> kinds = layers.kinds();
        boolean gemma = family.is(Trait.GEMMA);
        return new DecoderConfig(
                family.title(),
                errors.origin(),
                Naming.HUGGING_FACE,
                hidden,
                text.size("intermediate_size", ConfigErrors.MAX_SIZE),
                heads,
                latent == null ? kvHeads : heads,
                headDim,
                text.size("vocab_size", ConfigErrors.MAX_SIZE),
                rope.contextLength(),
                new Norms(family.placement(), (float) text.positive("rms_norm_eps", 1e-6), gemma ? 1 : 0),
                family.qkNorm(),
                activation(family, text),
                ropes,
                kinds,
                biases(family, text),
                softCaps(family, text),
                multipliers(family, text, hidden, headDim, ropes.getFirst()),
                root.flag("tie_word_embeddings", text.flag("tie_word_embeddings", family.is(Trait.TIED))),
                kinds.stream().anyMatch(LayerKind::experts) ? experts(family, text) : null,
                latent);
    }

    private Family family() {
        if (root.node("architectures").isMissingNode()) {
            String type = root.string("model_type", "(none)");
            return Family.ofType(type).orElseThrow(() -> errors.architecture(type));
        }
        String name = root.node("architectures").path(0).asString(root.string("model_type", "(none)"));
        return Family.ofClass(name).orElseThrow(() -> errors.architecture(name));
    }

    private int headDim(JsonFields text, int hidden, int heads) {
        int chosen = text.size("head_dim", ConfigErrors.MAX_SIZE, 0);
        if (chosen > 0) {
            return chosen;
        }
        if (hidden % heads != 0) {
            throw errors.wrong(
                    "hidden_size",
                    "is " + hidden + ", not a multiple of num_attention_heads " + heads + ", and there is no head_dim");
        }
        return hidden / heads;
    }

    /** Gemma's first configs say {@code hidden_act: gelu} and mean the tanh form, which their code takes without asking. */
    private Activation activation(Family family, JsonFields text) {
        String name = family.is(Trait.GEMMA)
                ? text.string("hidden_activation", "gelu_pytorch_tanh")
                : text.string("hidden_act", "silu");
        return switch (name) {
            case "silu", "swish" -> Activation.SILU;
            case "gelu_pytorch_tanh", "gelu_tanh" -> Activation.GELU_TANH;
            default -> throw errors.unsupported("hidden_act", name, "silu, gelu_pytorch_tanh");
        };
    }

    private static Biases biases(Family family, JsonFields text) {
        boolean attention = text.flag("attention_bias", false);
        boolean qkv = family.is(Trait.QKV_BIAS) ? text.flag("qkv_bias", true) : attention;
        return new Biases(qkv, attention && !family.is(Trait.QKV_BIAS), text.flag("mlp_bias", false));
    }

    private SoftCaps softCaps(Family family, JsonFields text) {
        boolean capped = family.is(Trait.SOFT_CAPS);
        double attention = text.cap("attn_logit_softcapping", capped ? 50 : 0);
        double logits = text.cap("final_logit_softcapping", capped ? 30 : 0);
        if (!capped && (attention != 0 || (logits != 0 && !family.is(Trait.GEMMA)))) {
            throw errors.unsupported("soft capping", attention + " and " + logits, "it in Gemma 2 only");
        }
        return new SoftCaps((float) attention, (float) logits);
    }

    private static Multipliers multipliers(Family family, JsonFields text, int hidden, int headDim, Rope rope) {
        double scale = 1 / Math.sqrt(text.positive("query_pre_attn_scalar", headDim));
        double stretch = family.is(Trait.LATENT) ? RopeFrequencies.attentionStretch(rope) : 1;
        if (family.is(Trait.MULTIPLIERS)) {
            return new Multipliers(
                    (float) text.number("embedding_multiplier", 1),
                    (float) text.number("attention_multiplier", 1),
                    (float) text.number("residual_multiplier", 1),
                    (float) (1 / text.positive("logits_scaling", 1)));
        }
        float embedding = family.is(Trait.GEMMA) ? (float) Math.sqrt(hidden) : 1;
        return new Multipliers(embedding, (float) (scale * stretch * stretch), 1, 1);
    }

    private Latent latent(JsonFields text) {
        return new Latent(
                text.size("q_lora_rank", ConfigErrors.MAX_SIZE, 0),
                text.size("kv_lora_rank", ConfigErrors.MAX_SIZE),
                text.size("qk_nope_head_dim", ConfigErrors.MAX_SIZE),
                text.size("qk_rope_head_dim", ConfigErrors.MAX_SIZE),
                text.size("v_head_dim", ConfigErrors.MAX_SIZE));
    }

    private @Nullable Experts experts(Family family, JsonFields text) {
        int count = text.size(JsonLayers.expertCountKey(family), ConfigErrors.MAX_EXPERTS);
        int active = text.size("num_experts_per_tok", ConfigErrors.MAX_EXPERTS);
        int width = text.size(
                family == Family.MIXTRAL ? "intermediate_size" : "moe_intermediate_size", ConfigErrors.MAX_SIZE);
        int shared = family.is(Trait.SHARED_GATE)
                ? text.size("shared_expert_intermediate_size", ConfigErrors.MAX_SIZE)
                : Math.multiplyExact(text.count("n_shared_experts", ConfigErrors.MAX_EXPERTS), width);
        boolean deepseek = family.is(Trait.LATENT);
        boolean renormalise = text.flag("norm_topk_prob", family == Family.MIXTRAL);
        int groups = 1;
        int kept = 1;
        if (deepseek) {
            String scoring = text.string("scoring_func", "softmax");
            if (!scoring.equals("softmax")) {
                throw errors.unsupported("scoring_func", scoring, "softmax");
            }
            String method = text.string("topk_method", "greedy");
            switch (method) {
                case "greedy" -> {}
                case "group_limited_greedy" -> {
                    groups = text.size("n_group", ConfigErrors.MAX_EXPERTS);
                    kept = text.size("topk_group", ConfigErrors.MAX_EXPERTS);
                }
                default -> throw errors.unsupported("topk_method", method, "greedy, group_limited_greedy");
            }
        }
        errors.experts(count, active, groups, kept);
        // DeepSeek's own code scales only weights that it does not normalise.
        double scale = deepseek && !(renormalise && active > 1) ? text.positive("routed_scaling_factor", 1) : 1;
        return new Experts(
                count, active, width, shared, family.is(Trait.SHARED_GATE), renormalise, (float) scale, groups, kept);
    }
}
