package io.millrace.worker.model.decoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.Rope;
import io.millrace.worker.model.config.RopeFrequencies;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import java.util.ArrayList;
import java.util.List;

/** Divisors of the rotary frequencies that GGUF files keep as tensors: one list (Llama 3.x), or one for short and one for long contexts. */
final class RopeDivisors {

    private final DecoderConfig config;
    private final TensorNames names;
    private final WeightSource source;

    RopeDivisors(DecoderConfig config, TensorNames names, WeightSource source) {
        this.config = config;
        this.names = names;
        this.source = source;
    }

    RopeFrequencies frequencies(Rope rope, int maxLength) {
        if (rope.kind() == Rope.Kind.LONGROPE && rope.longFactors().isEmpty()) {
            List<Double> shorter = list(read(names.shortRopeFactors(), rope));
            List<Double> longer = list(read(names.longRopeFactors(), rope));
            return RopeFrequencies.of(rope.withFactors(shorter, longer), maxLength);
        }
        RopeFrequencies frequencies = RopeFrequencies.of(rope, maxLength);
        return source.has(names.ropeFactors()) ? frequencies.dividedBy(read(names.ropeFactors(), rope)) : frequencies;
    }

    private float[] read(String tensor, Rope rope) {
        if (!source.has(tensor)) {
            throw wrong(tensor, "is missing");
        }
        float[] factors = Dequantizer.all(source.tensor(tensor));
        if (factors.length != rope.dims() / 2) {
            throw wrong(tensor, "has " + factors.length + " values where " + rope.dims() / 2 + " are needed");
        }
        for (float factor : factors) {
            if (!(factor > 0) || Float.isInfinite(factor)) {
                throw wrong(tensor, "holds " + factor + " where positive divisors are needed");
            }
        }
        return factors;
    }

    private static List<Double> list(float[] values) {
        List<Double> list = new ArrayList<>();
        for (float value : values) {
            list.add((double) value);
        }
        return list;
    }

    private MillraceException wrong(String tensor, String what) {
        return new MillraceException(
                "MR-MODEL-003",
                config.origin() + ": tensor " + tensor + " " + what
                        + ". Get the model's file again from its publisher.");
    }
}
