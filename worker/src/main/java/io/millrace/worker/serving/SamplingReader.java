package io.millrace.worker.serving;

import io.millrace.shared.proto.Sampling;
import io.millrace.worker.sampling.SamplingParams;
import java.util.HashMap;
import java.util.Map;

/** A request's sampling, checked, with the model's defaults filled in. */
final class SamplingReader {

    private static final int MAX_LOGPROBS = 20;
    private static final float MAX_BIAS = 100;

    private final GenerationDefaults defaults;
    private final int vocabulary;

    SamplingReader(GenerationDefaults defaults, int vocabulary) {
        this.defaults = defaults;
        this.vocabulary = vocabulary;
    }

    SamplingParams read(Sampling s) {
        double temperature =
                range("temperature", s.hasTemperature() ? s.getTemperature() : defaults.temperature(), 0, 100);
        double topP = above0("top_p", s.hasTopP() ? s.getTopP() : defaults.topP(), 1);
        double minP = range("min_p", s.hasMinP() ? s.getMinP() : defaults.minP(), 0, 1);
        double typical = above0("typical_p", s.hasTypicalP() ? s.getTypicalP() : defaults.typicalP(), 1);
        double presence = range("presence_penalty", s.getPresencePenalty(), -2, 2);
        double frequency = range("frequency_penalty", s.getFrequencyPenalty(), -2, 2);
        double repetition = above0(
                "repetition_penalty",
                s.hasRepetitionPenalty() ? s.getRepetitionPenalty() : defaults.repetitionPenalty(),
                100);
        return new SamplingParams(
                (float) temperature,
                topK(s),
                (float) topP,
                (float) minP,
                (float) typical,
                (float) presence,
                (float) frequency,
                (float) repetition,
                bias(s),
                logprobs("logprobs", s.hasLogprobs(), s.getLogprobs()));
    }

    /** -1 when absent. */
    static int logprobs(String name, boolean present, int value) {
        if (!present) {
            return -1;
        }
        if (value < 0 || value > MAX_LOGPROBS) {
            throw Refusal.invalid(name, name + " is " + value + "; it must be 0 to " + MAX_LOGPROBS + ".");
        }
        return value;
    }

    private int topK(Sampling s) {
        int k = s.hasTopK() ? s.getTopK() : defaults.topK();
        if (k < -1) {
            throw Refusal.invalid("top_k", "top_k is " + k + "; it must be at least 1, or 0 or -1 to switch it off.");
        }
        return Math.max(k, 0);
    }

    private Map<Integer, Float> bias(Sampling s) {
        Map<Integer, Float> bias = new HashMap<>();
        s.getLogitBiasMap().forEach((id, value) -> {
            if (id < 0 || id >= vocabulary) {
                throw Refusal.invalid(
                        "logit_bias",
                        "logit_bias names token " + Integer.toUnsignedString(id) + "; the model's ids are 0 to "
                                + (vocabulary - 1) + ".");
            }
            if (!(Math.abs(value) <= MAX_BIAS)) {
                throw Refusal.invalid(
                        "logit_bias", "logit_bias of token " + id + " is " + value + "; it must be -100 to 100.");
            }
            bias.put(id, value);
        });
        return Map.copyOf(bias);
    }

    private static double range(String name, double value, double least, double most) {
        if (!(value >= least && value <= most)) {
            throw Refusal.invalid(
                    name, "%s is %s; it must be %s to %s.".formatted(name, value, plain(least), plain(most)));
        }
        return value;
    }

    private static double above0(String name, double value, double most) {
        if (!(value > 0 && value <= most)) {
            throw Refusal.invalid(
                    name, "%s is %s; it must be above 0 and at most %s.".formatted(name, value, plain(most)));
        }
        return value;
    }

    private static String plain(double value) {
        return value == Math.rint(value) ? Long.toString((long) value) : Double.toString(value);
    }
}
