package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import tools.jackson.databind.JsonNode;

/**
 * How far a runtime is from a reference over SmolLM2's golden text and chats, every position scored.
 *
 * <p>The rise of perplexity on a text is a mean over its ids of one number each, whose scatter is many times the mean: on the 217 ids of one chat it
 * came out between -1.4 and +2.3 % for runtimes that are equally good. So two things are told. {@link #expectedRise} takes, at each position, the
 * mean over all ids that may come next, weighted as the reference expects them, instead of the one that does: the Kullback-Leibler divergence,
 * which has no such scatter. {@link #rise} is the one on the text, with its standard {@link #error}.
 *
 * @param ids that were scored
 * @param rms of the logits' differences, relative to their deviation; of the text with the largest
 * @param expectedRise 0.01: by one percent
 * @param rise of perplexity on these texts
 * @param error standard error of the rise
 */
record Texts(int ids, double rms, double expectedRise, double rise, double error) {

    /** The text of the golden perplexity, then the chats with their greedy answers, the longest last. */
    static List<int[]> all() {
        List<int[]> all = new ArrayList<>();
        all.add(GoldenModels.ints(Golden.json("smollm2/perplexity.json").get("ids")));
        for (JsonNode chat : Golden.json("smollm2/greedy.json").get("cases")) {
            all.add(IntStream.concat(
                            IntStream.of(GoldenModels.ints(chat.get("prompt_ids"))),
                            IntStream.of(GoldenModels.ints(chat.get("greedy"))))
                    .toArray());
        }
        return all;
    }

    /** Logits of every position, in one pass. */
    static List<float[]> forced(ModelRuntime runtime, int[] ids) {
        PagedRunner runner = new PagedRunner(runtime, 1);
        Sequence seq = runner.sequence(ids);
        runner.step(List.of(new Work(seq, ids.length, true)));
        return List.copyOf(seq.logits);
    }

    static Texts compare(ModelRuntime runtime, ModelRuntime reference) {
        int scored = 0;
        double worst = 0;
        double divergence = 0;
        double rise = 0;
        double squares = 0;
        for (int[] ids : all()) {
            List<float[]> expected = forced(reference, ids);
            List<float[]> actual = forced(runtime, ids);
            worst = Math.max(worst, CpuModels.rms(actual, expected));
            for (int i = 0; i + 1 < ids.length; i++, scored++) {
                float[] p = expected.get(i);
                float[] q = actual.get(i);
                double change = logSum(q) - logSum(p);
                double each = change + p[ids[i + 1]] - q[ids[i + 1]];
                divergence += change + meanDifference(p, q);
                rise += each;
                squares += each * each;
            }
        }
        double mean = rise / scored;
        double variance = (squares / scored - mean * mean) / scored;
        return new Texts(
                scored, worst, Math.expm1(divergence / scored), Math.expm1(mean), Math.sqrt(Math.max(0, variance)));
    }

    /** Of p minus q, weighted by the softmax of p. */
    private static double meanDifference(float[] p, float[] q) {
        double largest = largest(p);
        double weights = 0;
        double sum = 0;
        for (int i = 0; i < p.length; i++) {
            double weight = Math.exp(p[i] - largest);
            weights += weight;
            sum += weight * (p[i] - q[i]);
        }
        return sum / weights;
    }

    private static double logSum(float[] logits) {
        double largest = largest(logits);
        double sum = 0;
        for (float x : logits) {
            sum += Math.exp(x - largest);
        }
        return largest + Math.log(sum);
    }

    private static double largest(float[] logits) {
        double largest = Double.NEGATIVE_INFINITY;
        for (float x : logits) {
            largest = Math.max(largest, x);
        }
        return largest;
    }

    @Override
    public String toString() {
        return "%,d ids, logits off by %.4f, perplexity %+.2f %% expected, %+.2f %% +- %.2f on the texts"
                .formatted(ids, rms, 100 * expectedRise, 100 * rise, 100 * error);
    }
}
