package io.millrace.worker.model.config;

import java.util.List;

/**
 * Rotary position embedding (Su et al., RoFormer) and how its frequencies are stretched for long contexts.
 *
 * @param theta base of the frequencies
 * @param dims leading dimensions of a head that are rotated; even
 * @param factor how often longer the context is than the original one; 1 where the kind has none
 * @param originalContext tokens the model was trained for before stretching
 * @param attentionFactor cosines and sines are multiplied by it; NaN: the kind's own rule
 * @param mscale yarn only; 0: absent
 * @param mscaleAllDim yarn only; 0: absent
 * @param truncate yarn only: the corrected range is rounded to whole dimensions
 * @param shortFactors longrope only, otherwise empty
 * @param longFactors longrope only, otherwise empty
 */
public record Rope(
        Kind kind,
        Layout layout,
        double theta,
        int dims,
        double factor,
        int originalContext,
        double lowFreqFactor,
        double highFreqFactor,
        double betaFast,
        double betaSlow,
        double attentionFactor,
        double mscale,
        double mscaleAllDim,
        boolean truncate,
        List<Double> shortFactors,
        List<Double> longFactors) {

    /** How the frequencies are stretched. */
    public enum Kind {
        DEFAULT,
        LINEAR,
        DYNAMIC,
        LLAMA3,
        YARN,
        LONGROPE
    }

    /** Which two values of a head turn together. */
    public enum Layout {
        /** i and i + dims/2, as in the published safetensors of most families. */
        HALVES,
        /** 2i and 2i + 1, as in GGUF files of the Llama architecture. */
        PAIRS
    }

    /** The same with a checkpoint's own divisors, which GGUF files keep as tensors. */
    public Rope withFactors(List<Double> shorter, List<Double> longer) {
        return new Rope(
                Kind.LONGROPE,
                layout,
                theta,
                dims,
                factor,
                originalContext,
                lowFreqFactor,
                highFreqFactor,
                betaFast,
                betaSlow,
                attentionFactor,
                mscale,
                mscaleAllDim,
                truncate,
                shorter,
                longer);
    }

    /** Unscaled. */
    public static Rope plain(Layout layout, double theta, int dims) {
        return new Rope(
                Kind.DEFAULT, layout, theta, dims, 1, 0, 1, 4, 32, 1, Double.NaN, 0, 0, true, List.of(), List.of());
    }
}
