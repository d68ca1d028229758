package io.millrace.worker.model.config;

/**
 * Angular frequencies of a {@link Rope}. Float arithmetic where the reference implementation's is float, so that large
 * positions turn by the same angle.
 *
 * @param inverse [dims/2] radians per position
 * @param scale cosines and sines are multiplied by it
 */
public record RopeFrequencies(float[] inverse, float scale) {

    /**
     * Frequencies as the config says.
     *
     * @param maxLength of a sequence: where a checkpoint has frequencies for short and for long contexts, or stretches them by the
     *     length, all sequences are given those of this length, so that what is cached stays right when they grow
     */
    public static RopeFrequencies of(Rope rope, int maxLength) {
        return switch (rope.kind()) {
            case DEFAULT -> new RopeFrequencies(plain(rope), 1);
            case LINEAR -> new RopeFrequencies(divided(plain(rope), (float) rope.factor()), 1);
            case LLAMA3 -> new RopeFrequencies(llama3(rope), 1);
            case YARN -> new RopeFrequencies(yarn(rope), (float) yarnScale(rope));
            case DYNAMIC -> new RopeFrequencies(dynamic(rope, maxLength), 1);
            case LONGROPE -> longRope(rope, maxLength);
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

    /** Factor of queries and of keys in attention that a checkpoint of latent attention asks for besides the rotation (DeepSeek). */
    static double attentionStretch(Rope rope) {
        return rope.kind() == Rope.Kind.YARN && rope.mscaleAllDim() != 0
                ? mscale(rope.factor(), rope.mscaleAllDim())
                : 1;
    }

    private static float[] plain(Rope rope) {
        return plain(rope.theta(), rope.dims());
    }

    private static float[] plain(double theta, int dims) {
        float[] inverse = new float[dims / 2];
        for (int i = 0; i < inverse.length; i++) {
            inverse[i] = 1.0f / (float) Math.pow(theta, 2.0f * i / dims);
        }
        return inverse;
    }

    /** NTK-aware scaling of the base, by as much as the longest sequence is beyond the original context. */
    private static float[] dynamic(Rope rope, int maxLength) {
        double length = Math.max(maxLength, rope.originalContext());
        double stretch = rope.factor() * length / rope.originalContext() - (rope.factor() - 1);
        double theta = rope.theta() * Math.pow(stretch, rope.dims() / (rope.dims() - 2.0));
        return plain(theta, rope.dims());
    }

    /** Ding et al., LongRoPE: a divisor for each pair, from one of two lists. */
    private static RopeFrequencies longRope(Rope rope, int maxLength) {
        java.util.List<Double> divisors = maxLength > rope.originalContext() ? rope.longFactors() : rope.shortFactors();
        float[] inverse = new float[rope.dims() / 2];
        for (int i = 0; i < inverse.length; i++) {
            float power = (float) Math.pow(rope.theta(), 2.0f * i / rope.dims());
            inverse[i] = 1.0f / (divisors.get(i).floatValue() * power);
        }
        double scale = rope.attentionFactor();
        if (Double.isNaN(scale)) {
            scale = rope.factor() <= 1 ? 1 : Math.sqrt(1 + Math.log(rope.factor()) / Math.log(rope.originalContext()));
        }
        return new RopeFrequencies(inverse, (float) scale);
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
