package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.TestModels;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import tools.jackson.databind.JsonNode;

/** A real model, quantised, through the paged path: ids, probabilities and perplexity of another implementation. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class SmolLm2TorchTest {

    private ModelRuntime runtime;

    @BeforeAll
    void load() {
        runtime = GoldenModels.load(TestModels.smollm2(), GoldenModels.blocks(16, 4096), 2);
    }

    @AfterAll
    void close() {
        if (runtime != null) {
            runtime.close();
        }
    }

    @Test
    void allChatsTogetherGiveTheGreedyIds() {
        JsonNode cases = Golden.json("smollm2/greedy.json").get("cases");
        PagedRunner runner = new PagedRunner(runtime, 5);
        List<Sequence> sequences = new ArrayList<>();
        for (JsonNode chat : cases) {
            sequences.add(runner.sequence(GoldenModels.ints(chat.get("prompt_ids"))));
        }
        boolean more = true;
        while (more) {
            List<Work> work = new ArrayList<>();
            for (int i = 0; i < sequences.size(); i++) {
                Sequence seq = sequences.get(i);
                int wanted = cases.get(i).get("prompt_ids").size()
                        + cases.get(i).get("greedy").size();
                if (seq.ids.size() < wanted) {
                    work.add(new Work(seq, Math.min(24, seq.pending()), false));
                }
            }
            more = !work.isEmpty();
            if (more) {
                runner.step(work);
            }
        }
        for (int i = 0; i < sequences.size(); i++) {
            JsonNode chat = cases.get(i);
            Sequence seq = sequences.get(i);
            assertThat(seq.from(chat.get("prompt_ids").size()))
                    .as(chat.get("name").asString())
                    .isEqualTo(GoldenModels.ints(chat.get("greedy")));
            for (int step = 0; step < chat.get("top5_first8").size(); step++) {
                for (JsonNode top : chat.get("top5_first8").get(step)) {
                    double logprob = logprob(seq.logits.get(step), top.get("id").intValue());
                    assertThat(logprob).isCloseTo(top.get("logprob").doubleValue(), within(1e-3));
                }
            }
            seq.release();
        }
    }

    @Test
    void perplexityOfATextAgrees() {
        JsonNode golden = Golden.json("smollm2/perplexity.json");
        int[] ids = GoldenModels.ints(golden.get("ids"));
        float[] expected = Golden.floats("smollm2/perplexity_logprobs.f32");
        PagedRunner runner = new PagedRunner(runtime, 6);
        Sequence seq = runner.sequence(ids);
        runner.step(List.of(new Work(seq, ids.length, true)));
        double sum = 0;
        for (int i = 0; i + 1 < ids.length; i++) {
            double logprob = logprob(seq.logits.get(i), ids[i + 1]);
            assertThat(logprob).as("position %d", i).isCloseTo(expected[i], within(1e-3));
            sum -= logprob;
        }
        assertThat(Math.exp(sum / (ids.length - 1)))
                .isCloseTo(golden.get("perplexity").doubleValue(), within(0.005));
        seq.release();
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
