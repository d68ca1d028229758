package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.Placement;
import io.millrace.worker.program.Recorder;

/** Records norms where the config has them; elsewhere what they are given passes. */
final class Norms {

    private final DecoderConfig config;
    private final Slots slots;
    private final Recorder r;

    Norms(DecoderConfig config, Slots slots, Recorder r) {
        this.config = config;
        this.slots = slots;
        this.r = r;
    }

    int beforeAttention(int layer, int x) {
        return is(Placement.AFTER) ? x : norm(layer, "input_layernorm", config.hiddenSize(), x);
    }

    int afterAttention(int layer, int x) {
        return is(Placement.BEFORE) ? x : norm(layer, "post_attention_layernorm", config.hiddenSize(), x);
    }

    int beforeMlp(int layer, int x) {
        return switch (config.norms().placement()) {
            case BEFORE -> norm(layer, "post_attention_layernorm", config.hiddenSize(), x);
            case BEFORE_AND_AFTER -> norm(layer, "pre_feedforward_layernorm", config.hiddenSize(), x);
            case AFTER -> x;
        };
    }

    int afterMlp(int layer, int x) {
        return is(Placement.BEFORE) ? x : norm(layer, "post_feedforward_layernorm", config.hiddenSize(), x);
    }

    /** Of runs of {@code width} values. */
    int norm(int layer, String part, int width, int x) {
        return last(x, slots.vector(layer, part, width));
    }

    /** With a weight that is there already. */
    int last(int x, int weight) {
        return r.rmsNorm(x, weight, config.norms().eps(), config.norms().offset());
    }

    private boolean is(Placement placement) {
        return config.norms().placement() == placement;
    }
}
