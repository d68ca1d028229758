package io.millrace.worker.model.config;

import io.millrace.shared.error.MillraceException;

/**
 * Angular frequencies of a {@link Rope}. Float arithmetic where the reference implementation's is float, so that large
 * positions turn by the same angle.
 *
 * @param inverse [dims/2] radians per position
 * @param scale cosines and sines are multiplied by it
 */
public record RopeFrequencies(float[] inverse, float scale) {

    /** Frequencies as the config says. */
    public static RopeFrequencies of(Rope rope) {
        return switch (rope.kind()) {
            case NONE -> new RopeFrequencies(new float[rope.dims() / 2], 1);
            case DEFAULT -> new RopeFrequencies(plain(rope), 1);
            case LINEAR -> new RopeFrequencies(divided(plain(rope), (float) rope.factor()), 1);
            case LLAMA3 -> new RopeFrequencies(llama3(rope), 1);
            case YARN -> new RopeFrequencies(yarn(rope), (float) yarnScale(rope));
            case DYNAMIC, LONGROPE ->
                throw new MillraceException(
                        "MR-MODEL-004",
                        "rope kind " + rope.kind().name().toLowerCase(java.util.Locale.ROOT)
                                + " is not supported yet; supported are default, linear, llama3 and yarn.");
        };
    }

    /** Frequencies divided one by one: a GGUF file's {@code rope_freqs.weight}. */
    public RopeFrequencies dividedBy(float[] factors) {
        float[] result = new float[inverse.length];
        for (int i = 0; i < result.length; i++) {
            result[i] = inverse[i] / factors[i];
        }
        return new RopeFrequencies(result, scale);
    }

    /** cos and sin, each [dims/2], of one position, written at {@code offset}. */
    public void turn(int position, float[] cos, float[] sin, int offset) {
        for (int i = 0; i < inverse.length; i++) {
            float angle = position * inverse[i];
            cos[offset + i] = (float) Math.cos(angle) * scale;
            sin[offset + i] = (float) Math.sin(angle) * scale;
        }
    }

    private static float[] plain(Rope rope) {
        float[] inverse = new float[rope.dims() / 2];
        for (int i = 0; i < inverse.length; i++) {
            inverse[i] = 1.0f / (float) Math.pow(rope.theta(), 2.0f * i / rope.dims());
        }
        return inverse;
    }

    private static float[] divided(float[] values, float by) {
        for (int i = 0; i < values.length; i++) {
            values[i] /= by;
        }
        return values;
    }

    /** Llama 3.1: long wavelengths slowed by the factor, short ones kept, a ramp between. */
    private static float[] llama3(Rope rope) {
        float[] inverse = plain(rope);
        double lowWave = rope.originalContext() / rope.lowFreqFactor();
        double highWave = rope.originalContext() / rope.highFreqFactor();
        for (int i = 0; i < inverse.length; i++) {
            double wave = 2 * Math.PI / inverse[i];
            if (wave > lowWave) {
                inverse[i] = (float) (inverse[i] / rope.factor());
            } else if (wave >= highWave) {
                double smooth = (rope.originalContext() / wave - rope.lowFreqFactor())
                        / (rope.highFreqFactor() - rope.lowFreqFactor());
                inverse[i] = (float) ((1 - smooth) * inverse[i] / rope.factor() + smooth * inverse[i]);
            }
        }
        return inverse;
    }

    /** Peng et al., YaRN: interpolation for slow dimensions, extrapolation for fast ones, a ramp between. */
    private static float[] yarn(Rope rope) {
        double low = correctionDim(rope, rope.betaFast());
        double high = correctionDim(rope, rope.betaSlow());
        if (rope.truncate()) {
            low = Math.floor(low);
            high = Math.ceil(high);
        }
        low = Math.max(low, 0);
        high = Math.min(high, rope.dims() - 1);
        if (low == high) {
            high += 0.001;
        }
        float[] inverse = plain(rope);
        for (int i = 0; i < inverse.length; i++) {
            double ramp = Math.clamp((i - low) / (high - low), 0.0, 1.0);
            inverse[i] = (float) (inverse[i] / rope.factor() * ramp + inverse[i] * (1 - ramp));
        }
        return inverse;
    }

    private static double correctionDim(Rope rope, double rotations) {
        return rope.dims()
                * Math.log(rope.originalContext() / (rotations * 2 * Math.PI))
                / (2 * Math.log(rope.theta()));
    }

    private static double yarnScale(Rope rope) {
        if (!Double.isNaN(rope.attentionFactor())) {
            return rope.attentionFactor();
        }
        if (rope.mscale() != 0 && rope.mscaleAllDim() != 0) {
            return mscale(rope.factor(), rope.mscale()) / mscale(rope.factor(), rope.mscaleAllDim());
        }
        return mscale(rope.factor(), 1);
    }

    private static double mscale(double factor, double weight) {
        return factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1;
    }
}
