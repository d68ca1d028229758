package io.millrace.worker.model.config;

import io.millrace.worker.model.config.Family.Trait;
import java.util.List;

/** The rotations of GGUF metadata. Divisors of single frequencies are tensors of the file; the decoder reads them. */
final class GgufRope {

    private static final double LOCAL_THETA = 10000;

    private final Family family;
    private final GgufFields fields;
    private final int headDim;
    private final int context;

    /** @param headDim dimensions that are turned, unless a key says fewer */
    GgufRope(Family family, GgufFields fields, int headDim, int context) {
        this.family = family;
        this.fields = fields;
        this.headDim = headDim;
        this.context = context;
    }

    /** The rotation of all layers, and with {@link Trait#LOCAL_ROPE} second that of layers with a window. */
    List<Rope> tables() {
        Rope all = rope();
        if (!family.is(Trait.LOCAL_ROPE)) {
            return List.of(all);
        }
        double theta = fields.positive("rope.freq_base_swa", LOCAL_THETA);
        return List.of(all, Rope.plain(all.layout(), theta, all.dims()));
    }

    private Rope rope() {
        double theta = fields.positive("rope.freq_base", 10000);
        int dims = fields.size("rope.dimension_count", ConfigErrors.MAX_SIZE, headDim);
        Rope.Layout layout = family.layout(DecoderConfig.Naming.GGUF);
        String type = fields.string("rope.scaling.type", "none");
        // Converters of Phi-3 write the factor without a type.
        boolean longRope = type.equals("longrope") || (type.equals("none") && fields.has("rope.scaling.attn_factor"));
        if (type.equals("none") && !longRope) {
            // An older key of files with linear scaling.
            double linear = fields.positive("rope.scale_linear", 1);
            return linear == 1
                    ? Rope.plain(layout, theta, dims)
                    : scaled(Rope.Kind.LINEAR, layout, theta, dims, linear);
        }
        Rope.Kind kind = switch (type) {
            case "none", "longrope" -> Rope.Kind.LONGROPE;
            case "linear" -> Rope.Kind.LINEAR;
            case "yarn" -> Rope.Kind.YARN;
            default ->
                throw fields.errors()
                        .unsupported(fields.name("rope.scaling.type"), type, "none, linear, yarn, longrope");
        };
        double factor = longRope ? 1 : fields.positive("rope.scaling.factor", Double.NaN);
        return scaled(kind, layout, theta, dims, factor);
    }

    private Rope scaled(Rope.Kind kind, Rope.Layout layout, double theta, int dims, double factor) {
        double original = fields.number("rope.scaling.original_context_length", context);
        return new Rope(
                kind,
                layout,
                theta,
                dims,
                factor,
                fields.errors()
                        .size(fields.name("rope.scaling.original_context_length"), (long) original, Integer.MAX_VALUE),
                1,
                4,
                fields.positive("rope.scaling.yarn_beta_fast", 32),
                fields.positive("rope.scaling.yarn_beta_slow", 1),
                attentionFactor(kind, factor),
                0,
                0,
                true,
                List.of(),
                List.of());
    }

    /** Latent attention has its part of yarn's factor in the scale of the scores. */
    private double attentionFactor(Rope.Kind kind, double factor) {
        double said = fields.number("rope.scaling.attn_factor", 1);
        boolean own = kind == Rope.Kind.YARN && !fields.has("rope.scaling.yarn_log_multiplier");
        return said * (own ? 0.1 * Math.log(factor) + 1 : 1);
    }
}
