package io.millrace.worker.model.config;

import io.millrace.worker.model.config.Family.Trait;
import java.util.List;

/**
 * The rotations of a {@code config.json}: {@code rope_theta} and {@code rope_scaling}, or the newer {@code rope_parameters}, which
 * may hold an object for each type of layer.
 */
final class JsonRope {

    private static final double LOCAL_THETA = 10000;

    private final Family family;
    private final JsonFields text;
    private final int headDim;

    /** @param headDim dimensions of which a part is turned */
    JsonRope(Family family, JsonFields text, int headDim) {
        this.family = family;
        this.text = text;
        this.headDim = headDim;
    }

    /** The rotation of all layers, and with {@link Trait#LOCAL_ROPE} second that of layers with a window. */
    List<Rope> tables() {
        JsonFields newer = text.object("rope_parameters");
        boolean byType = newer.isObject("full_attention");
        Rope all = rope(
                byType
                        ? newer.object("full_attention")
                        : text.isObject("rope_parameters") ? newer : text.object("rope_scaling"));
        if (!family.is(Trait.LOCAL_ROPE)) {
            return List.of(all);
        }
        double theta = byType && newer.object("sliding_attention").has("rope_theta")
                ? newer.object("sliding_attention").positive("rope_theta", LOCAL_THETA)
                : text.positive("rope_local_base_freq", LOCAL_THETA);
        return List.of(all, Rope.plain(all.layout(), theta, all.dims()));
    }

    /** Tokens the checkpoint is made for: yarn and dynamic NTK may be added to a config without touching its length. */
    int contextLength() {
        int said = text.size("max_position_embeddings", Integer.MAX_VALUE, 2048);
        Rope rope = tables().getFirst();
        double stretched = switch (rope.kind()) {
            case YARN, DYNAMIC -> rope.originalContext() * rope.factor();
            default -> 0;
        };
        return (int) Math.clamp(Math.floor(stretched), said, Integer.MAX_VALUE);
    }

    private Rope rope(JsonFields scaling) {
        ConfigErrors errors = text.errors();
        JsonFields theta = scaling.has("rope_theta") ? scaling : text;
        double base = theta.positive("rope_theta", 10000);
        JsonFields partial = scaling.has("partial_rotary_factor") ? scaling : text;
        int dims = (int) (headDim * partial.positive("partial_rotary_factor", 1));
        Rope.Layout layout = family.layout(DecoderConfig.Naming.HUGGING_FACE);
        Rope.Kind kind = kind(scaling);
        if (kind == Rope.Kind.DEFAULT) {
            return Rope.plain(layout, base, dims);
        }
        int said = text.size("max_position_embeddings", Integer.MAX_VALUE, 2048);
        JsonFields originals = scaling.has("original_max_position_embeddings") ? scaling : text;
        double original = originals.number("original_max_position_embeddings", said);
        boolean longRope = kind == Rope.Kind.LONGROPE;
        double factor = longRope && !scaling.has("factor") ? said / original : scaling.positive("factor", Double.NaN);
        Rope rope = new Rope(
                kind,
                layout,
                base,
                dims,
                errors.positive("rope factor", factor),
                errors.size("original_max_position_embeddings", (long) original, Integer.MAX_VALUE),
                scaling.positive("low_freq_factor", 1),
                scaling.positive("high_freq_factor", 4),
                scaling.positive("beta_fast", 32),
                scaling.positive("beta_slow", 1),
                scaling.number("attention_factor", Double.NaN),
                scaling.number("mscale", 0),
                scaling.number("mscale_all_dim", 0),
                scaling.flag("truncate", true),
                longRope ? factors(scaling, "short_factor", dims) : List.of(),
                longRope ? factors(scaling, "long_factor", dims) : List.of());
        if (kind == Rope.Kind.LLAMA3 && rope.lowFreqFactor() == rope.highFreqFactor()) {
            throw errors.wrong("high_freq_factor", "equals low_freq_factor");
        }
        return rope;
    }

    private Rope.Kind kind(JsonFields scaling) {
        String kind = scaling.string("rope_type", scaling.string("type", "default"));
        boolean phi = family == Family.PHI3;
        return switch (kind) {
            case "default" -> Rope.Kind.DEFAULT;
            case "linear" -> Rope.Kind.LINEAR;
            case "dynamic" -> Rope.Kind.DYNAMIC;
            case "llama3" -> Rope.Kind.LLAMA3;
            // The first Phi-3 checkpoints called longrope so.
            case "yarn" -> phi && scaling.has("long_factor") ? Rope.Kind.LONGROPE : Rope.Kind.YARN;
            case "longrope", "su" -> Rope.Kind.LONGROPE;
            default ->
                throw text.errors().unsupported("rope type", kind, "default, linear, dynamic, llama3, yarn, longrope");
        };
    }

    private List<Double> factors(JsonFields scaling, String key, int dims) {
        List<Double> factors = scaling.numbers(key);
        if (factors.size() != dims / 2) {
            throw text.errors()
                    .wrong(key, "has " + factors.size() + " entries where " + dims / 2 + " pairs are turned");
        }
        return factors;
    }
}
