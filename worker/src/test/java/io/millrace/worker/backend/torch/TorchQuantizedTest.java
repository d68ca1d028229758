package io.millrace.worker.backend.torch;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import io.millrace.worker.model.QuantGolden;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

/** Quantised checkpoints, widened to float32: ids equal to another implementation's, logits within its noise. */
class TorchQuantizedTest {

    private static final float TOLERANCE = 5e-3f;

    static Stream<QuantGolden> folders() {
        return QuantGolden.all();
    }

    @ParameterizedTest
    @MethodSource("folders")
    void greedyIdsAndLogitsAgree(QuantGolden folder) {
        JsonNode prompts = folder.golden().get("prompts");
        float[] last = folder.floats("logits_last.f32");
        try (ModelRuntime runtime = GoldenModels.load(folder.folder(), GoldenModels.blocks(16, 256), 2)) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            for (int p = 0; p < prompts.size(); p++) {
                int[] ids = GoldenModels.ints(prompts.get(p).get("ids"));
                int[] greedy = GoldenModels.ints(prompts.get(p).get("greedy"));
                boolean all = ids.length == 24 && folder.has("logits_all.f32");
                Sequence seq = runner.sequence(ids);
                runner.step(List.of(new Work(seq, ids.length, all)));
                assertClose(seq.logits.getLast(), last, p);
                if (all) {
                    float[] every = folder.floats("logits_all.f32");
                    for (int i = 0; i < ids.length; i++) {
                        assertClose(seq.logits.get(i), every, i);
                    }
                }
                while (seq.ids.size() < ids.length + greedy.length) {
                    runner.step(List.of(new Work(seq, 1, false)));
                }
                assertThat(seq.from(ids.length)).isEqualTo(greedy);
                seq.release();
            }
        }
    }

    private static void assertClose(float[] logits, float[] expected, int row) {
        float[] wanted = Arrays.copyOfRange(expected, row * logits.length, (row + 1) * logits.length);
        float worst = 0;
        for (int i = 0; i < logits.length; i++) {
            worst = Math.max(worst, Math.abs(logits[i] - wanted[i]));
        }
        assertThat(worst).as("row %d", row).isLessThan(TOLERANCE);
    }
}
