package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.TestModels;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** A real model, quantised, against probabilities and perplexity of another implementation. */
class SmolLm2CpuTest {

    /** Int8 activations may overturn a choice only where the two best logits are that close. */
    private static final double MARGIN = 0.4;

    private static final double RMS = 0.05;

    private static ModelRuntime load(CpuSettings settings) {
        CpuModels.library();
        return CpuModels.load(TestModels.smollm2(), GoldenModels.blocks(16, 2048), 2, settings);
    }

    @Test
    void teacherForcedChatsChooseTheGreedyIdsExceptAtCloseCalls() {
        JsonNode cases = Golden.json("smollm2/greedy.json").get("cases");
        try (ModelRuntime exact = load(CpuModels.F32);
                ModelRuntime runtime = load(CpuSettings.DEFAULT)) {
            for (JsonNode chat : cases) {
                int[] prompt = GoldenModels.ints(chat.get("prompt_ids"));
                int[] greedy = GoldenModels.ints(chat.get("greedy"));
                int[] all = IntStream.concat(IntStream.of(prompt), IntStream.of(greedy))
                        .toArray();
                List<float[]> reference = forced(exact, all);
                List<float[]> logits = forced(runtime, all);
                for (int i = 0; i < greedy.length; i++) {
                    int row = prompt.length - 1 + i;
                    double margin = chat.get("margins").get(i).doubleValue();
                    String what = chat.get("name").asString() + " step " + i;
                    if (margin >= 0.05) {
                        assertThat(best(reference.get(row))).as(what).isEqualTo(greedy[i]);
                    }
                    if (margin >= MARGIN) {
                        assertThat(best(logits.get(row))).as(what).isEqualTo(greedy[i]);
                    }
                }
                for (int i = 0; i < chat.get("top5_first8").size(); i++) {
                    for (JsonNode top : chat.get("top5_first8").get(i)) {
                        assertThat(logprob(
                                        reference.get(prompt.length - 1 + i),
                                        top.get("id").intValue()))
                                .isCloseTo(top.get("logprob").doubleValue(), within(1e-3));
                    }
                }
                assertThat(CpuModels.rms(logits, reference)).isLessThan(RMS);
            }
        }
    }

    @Test
    void perplexityIsWithinAPercentAndExactInFloat32() {
        JsonNode golden = Golden.json("smollm2/perplexity.json");
        int[] ids = GoldenModels.ints(golden.get("ids"));
        double expected = golden.get("perplexity").doubleValue();
        try (ModelRuntime runtime = load(CpuModels.F32)) {
            assertThat(perplexity(forced(runtime, ids), ids)).isCloseTo(expected, within(0.005));
        }
        try (ModelRuntime runtime = load(CpuSettings.DEFAULT)) {
            double found = perplexity(forced(runtime, ids), ids);
            System.out.printf("SmolLM2 perplexity with int8 activations: %.3f, float32 %.3f%n", found, expected);
            assertThat(found).isCloseTo(expected, within(0.01 * expected));
        }
    }

    /** Logits of every position, in one pass. */
    private static List<float[]> forced(ModelRuntime runtime, int[] ids) {
        PagedRunner runner = new PagedRunner(runtime, 1);
        Sequence seq = runner.sequence(ids);
        runner.step(List.of(new Work(seq, ids.length, true)));
        seq.release();
        return new ArrayList<>(seq.logits);
    }

    private static double perplexity(List<float[]> logits, int[] ids) {
        double sum = 0;
        for (int i = 0; i + 1 < ids.length; i++) {
            sum -= logprob(logits.get(i), ids[i + 1]);
        }
        return Math.exp(sum / (ids.length - 1));
    }

    private static int best(float[] logits) {
        int best = 0;
        for (int i = 1; i < logits.length; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    private static double logprob(float[] logits, int id) {
        double max = Double.NEGATIVE_INFINITY;
        for (float x : logits) {
            max = Math.max(max, x);
        }
        double sum = 0;
        for (float x : logits) {
            sum += Math.exp(x - max);
        }
        return logits[id] - max - Math.log(sum);
    }
}
