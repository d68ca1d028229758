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
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Reads GGUF metadata. What only tensors tell (tied embeddings, biases, which layers have experts) the decoder asks for.
 */
final class GgufConfig {

    /** Layers of the Gemma models whose attention scale is of the hidden size; no key says so. */
    private static final Map<Family, Integer> LAYERS_OF_27B = Map.of(Family.GEMMA2, 46, Family.GEMMA3, 62);

    private static final int SOFTMAX_GATING = 1;

    private final ConfigErrors errors;
    private final Map<String, Object> metadata;

    GgufConfig(String origin, Map<String, Object> metadata) {
        this.errors = new ConfigErrors(origin);
        this.metadata = metadata;
    }

    DecoderConfig read() {
        if (!(metadata.get("general.architecture") instanceof String architecture)) {
            throw errors.wrong("general.architecture", "is missing");
        }
        Family family = Family.ofGguf(architecture).orElseThrow(() -> errors.architecture(architecture));
        return read(family, new GgufFields(errors, metadata, architecture));
    }

    private DecoderConfig read(Family family, GgufFields fields) {
        int hidden = fields.size("embedding_length", ConfigErrors.MAX_SIZE);
        int heads = fields.size("attention.head_count", ConfigErrors.MAX_SIZE);
        Latent latent = family.is(Trait.LATENT) ? latent(fields) : null;
        int kvHeads = latent == null ? fields.size("attention.head_count_kv", ConfigErrors.MAX_SIZE, heads) : heads;
        int headDim = latent == null ? headDim(fields, hidden, heads) : latent.nopeDim() + latent.ropeDim();
        int context = fields.size("context_length", Integer.MAX_VALUE);
        List<Rope> ropes = new GgufRope(family, fields, latent == null ? headDim : latent.ropeDim(), context).tables();
        for (Rope rope : ropes) {
            errors.heads(heads, kvHeads, headDim, rope.dims());
        }
        boolean gemma = family.is(Trait.GEMMA);
        return new DecoderConfig(
                fields.has("expert_count") && family == Family.LLAMA ? Family.MIXTRAL.title() : family.title(),
                errors.origin(),
                Naming.GGUF,
                hidden,
                fields.size("feed_forward_length", ConfigErrors.MAX_SIZE),
                heads,
                kvHeads,
                headDim,
                fields.vocabulary(),
                context,
                // Converters have added Gemma's 1 already.
                new Norms(family.placement(), (float) fields.positive("attention.layer_norm_rms_epsilon", 1e-5), 0),
                family.qkNorm(),
                gemma ? Activation.GELU_TANH : Activation.SILU,
                ropes,
                kinds(family, fields),
                new Biases(false, false, false),
                new SoftCaps(
                        (float) fields.number("attn_logit_softcapping", family.is(Trait.SOFT_CAPS) ? 50 : 0),
                        (float) fields.number("final_logit_softcapping", family.is(Trait.SOFT_CAPS) ? 30 : 0)),
                multipliers(family, fields, hidden, heads, headDim),
                false,
                experts(family, fields),
                latent);
    }

    private int headDim(GgufFields fields, int hidden, int heads) {
        if (!fields.has("attention.key_length")) {
            if (hidden % heads != 0) {
                throw errors.wrong(
                        fields.name("embedding_length"),
                        "is " + hidden + ", not a multiple of " + fields.name("attention.head_count") + " " + heads);
            }
            return hidden / heads;
        }
        int key = fields.size("attention.key_length", ConfigErrors.MAX_SIZE);
        int value = fields.size("attention.value_length", ConfigErrors.MAX_SIZE, key);
        if (key != value) {
            throw errors.unsupported(
                    fields.name("attention.value_length"), value + " beside a key length of " + key, "equal lengths");
        }
        return key;
    }

    /** Files from before llama.cpp knew latent attention have the lengths of expanded heads. */
    private Latent latent(GgufFields fields) {
        boolean expanded = !fields.has("attention.key_length_mla");
        int ropeDim = fields.size("rope.dimension_count", ConfigErrors.MAX_SIZE);
        int key = fields.size(expanded ? "attention.key_length" : "attention.key_length_mla", ConfigErrors.MAX_SIZE);
        int value =
                fields.size(expanded ? "attention.value_length" : "attention.value_length_mla", ConfigErrors.MAX_SIZE);
        if (key <= ropeDim) {
            throw errors.wrong(
                    fields.name("rope.dimension_count"), "is " + ropeDim + " of a key length of " + key + " only");
        }
        return new Latent(
                fields.count("attention.q_lora_rank", ConfigErrors.MAX_SIZE),
                fields.size("attention.kv_lora_rank", ConfigErrors.MAX_SIZE),
                key - ropeDim,
                ropeDim,
                value);
    }

    private List<LayerKind> kinds(Family family, GgufFields fields) {
        int layers = fields.size("block_count", ConfigErrors.MAX_LAYERS);
        int window = fields.count("attention.sliding_window", Integer.MAX_VALUE);
        boolean experts = fields.count("expert_count", ConfigErrors.MAX_EXPERTS) > 0;
        int dense = fields.count("leading_dense_block_count", ConfigErrors.MAX_LAYERS);
        Object pattern = fields.value("attention.sliding_window_pattern");
        List<LayerKind> kinds = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            boolean local = window > 0 && sliding(family, fields, pattern, i);
            int table = local && family.is(Trait.LOCAL_ROPE) ? 1 : 0;
            boolean still = family.is(Trait.LAYERS_WITHOUT_ROPE) && (i + 1) % JsonLayers.NO_ROPE_INTERVAL == 0;
            int rope = still ? LayerKind.NO_ROPE : table;
            kinds.add(new LayerKind(local ? window : 0, rope, experts && i >= dense));
        }
        return kinds;
    }

    /** A pattern is a list with an entry per layer, or the distance between layers without a window; usually it is left out. */
    private boolean sliding(Family family, GgufFields fields, @Nullable Object pattern, int layer) {
        if (pattern instanceof boolean[] list && layer < list.length) {
            return list[layer];
        }
        int usual = switch (family) {
            case GEMMA2 -> 2;
            case GEMMA3 -> 6;
            default -> 0;
        };
        int distance = pattern instanceof Number
                ? fields.count("attention.sliding_window_pattern", ConfigErrors.MAX_LAYERS)
                : usual;
        return distance == 0 || (layer + 1) % distance != 0;
    }

    private static Multipliers multipliers(Family family, GgufFields fields, int hidden, int heads, int headDim) {
        boolean large = LAYERS_OF_27B.getOrDefault(family, -1) == fields.size("block_count", ConfigErrors.MAX_LAYERS);
        double scale = 1 / Math.sqrt(large ? (double) hidden / heads : headDim);
        if (family.is(Trait.LATENT)) {
            // Converters write a tenth of mscale_all_dim.
            double factor = fields.number("rope.scaling.factor", 1);
            double stretch = 1 + fields.number("rope.scaling.yarn_log_multiplier", 0) * Math.log(Math.max(1, factor));
            scale *= stretch * stretch;
        }
        double said = fields.number("attention.scale", 0);
        double logits = fields.number("logit_scale", 0);
        return new Multipliers(
                family.is(Trait.GEMMA) ? (float) Math.sqrt(hidden) : (float) fields.number("embedding_scale", 1),
                (float) (said == 0 ? scale : said),
                (float) fields.number("residual_scale", 1),
                (float) (logits == 0 ? 1 : 1 / logits));
    }

    private @Nullable Experts experts(Family family, GgufFields fields) {
        int count = fields.count("expert_count", ConfigErrors.MAX_EXPERTS);
        if (count == 0) {
            return null;
        }
        boolean known = switch (family) {
            case LLAMA, QWEN2_MOE, QWEN3_MOE, DEEPSEEK2 -> true;
            default -> false;
        };
        if (!known) {
            throw errors.unsupported(fields.name("expert_count"), "above 0", "dense models of this architecture");
        }
        int gating = fields.size("expert_gating_func", Integer.MAX_VALUE, SOFTMAX_GATING);
        if (gating != SOFTMAX_GATING) {
            throw errors.unsupported(fields.name("expert_gating_func"), String.valueOf(gating), "1 (softmax)");
        }
        int active = fields.size("expert_used_count", ConfigErrors.MAX_EXPERTS);
        int groups = Math.max(1, fields.count("expert_group_count", ConfigErrors.MAX_EXPERTS));
        int kept = groups == 1 ? 1 : fields.size("expert_group_used_count", ConfigErrors.MAX_EXPERTS);
        errors.experts(count, active, groups, kept);
        int width = fields.size(
                "expert_feed_forward_length",
                ConfigErrors.MAX_SIZE,
                fields.size("feed_forward_length", ConfigErrors.MAX_SIZE));
        int shared = family.is(Trait.SHARED_GATE)
                ? fields.size(
                        "expert_shared_feed_forward_length",
                        ConfigErrors.MAX_SIZE,
                        fields.size("feed_forward_length", ConfigErrors.MAX_SIZE))
                : Math.multiplyExact(fields.count("expert_shared_count", ConfigErrors.MAX_EXPERTS), width);
        // Files of the Llama architecture with experts are Mixtral's.
        boolean renormalise =
                fields.flag("expert_weights_norm", family == Family.LLAMA || family.is(Trait.RENORMALISED));
        double scale = fields.number("expert_weights_scale", 0);
        return new Experts(
                count,
                active,
                width,
                shared,
                family.is(Trait.SHARED_GATE),
                renormalise,
                scale == 0 ? 1 : (float) scale,
                groups,
                kept);
    }
}
