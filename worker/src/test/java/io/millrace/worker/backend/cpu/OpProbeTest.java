package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.backend.OpProbe;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.torch.GoldenModels;
import io.millrace.worker.backend.torch.PagedRunner;
import io.millrace.worker.backend.torch.TorchBackend;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.StepProgram;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** What the backends tell a probe of the ops of a step. */
class OpProbeTest {

    private static final Path MODEL = Golden.path("gguf/tiny-llama-f16.gguf");
    private static final int ROWS = 9;

    private record Ran(int[] ops, int rows, long startNanos, long nanos) {}

    private final List<Ran> ran = new ArrayList<>();

    private final OpProbe probe = (ops, lane, rows, startNanos, nanos) -> {
        synchronized (ran) {
            ran.add(new Ran(ops, rows, startNanos, nanos));
        }
    };

    private static StepProgram program() {
        try (GgufFile file = GgufFile.open(MODEL)) {
            return Decoder.of(DecoderConfig.fromGguf(MODEL.toString(), file.metadata()), file)
                    .program();
        }
    }

    private static ModelRuntime torch() {
        try (GgufFile file = GgufFile.open(MODEL)) {
            Decoder decoder = Decoder.of(DecoderConfig.fromGguf(MODEL.toString(), file.metadata()), file);
            return TorchBackend.load(decoder, file, GoldenModels.blocks(16, 256), 1, LoadProgress.NONE);
        }
    }

    private void step(ModelRuntime runtime) {
        PagedRunner runner = new PagedRunner(runtime, 1);
        runner.step(List.of(new PagedRunner.Work(
                runner.sequence(new Random(5).ints(ROWS, 0, 300).toArray()), ROWS, false)));
    }

    @Test
    void torchTellsOfEveryOpOnceAStepAndOfNoneBeforeAndAfter() {
        try (ModelRuntime runtime = torch()) {
            step(runtime);
            assertThat(ran).isEmpty();
            runtime.probe(probe);
            long before = System.nanoTime();
            step(runtime);
            long after = System.nanoTime();
            runtime.probe(null);
            step(runtime);

            assertThat(ran.stream()
                            .mapToInt(each -> each.ops()[0])
                            .sorted()
                            .distinct()
                            .toArray())
                    .hasSize(program().ops().size());
            assertThat(ran).allSatisfy(each -> {
                assertThat(each.startNanos()).isBetween(before, after);
                assertThat(each.startNanos() + each.nanos()).isBetween(before, after);
            });
        }
    }

    @Test
    void theKernelsTellOfEveryOpOnceAStepOnTheJvmsClock() {
        try (ModelRuntime runtime = CpuModels.load(MODEL, GoldenModels.blocks(16, 256), 2, CpuSettings.DEFAULT)) {
            step(runtime);
            runtime.probe(probe);
            long before = System.nanoTime();
            step(runtime);
            long after = System.nanoTime();
            runtime.probe(null);
            step(runtime);

            List<Integer> told = new ArrayList<>();
            ran.forEach(each -> {
                for (int op : each.ops()) {
                    told.add(op);
                }
                assertThat(each.startNanos()).isBetween(before, after);
                assertThat(each.startNanos() + each.nanos()).isBetween(before, after);
            });
            List<Op> ops = program().ops();
            for (int i = 0; i < ops.size(); i++) {
                if (!(ops.get(i) instanceof Op.Sample)) {
                    assertThat(told).as("%s", ops.get(i)).containsOnlyOnce(i);
                }
            }
        }
    }

    @Test
    void productsCostTwoOperationsForEachWeightAndRow() {
        StepProgram program = program();
        OpCosts costs = OpCosts.floats(program);
        StepInputs inputs = inputs();
        for (int i = 0; i < program.ops().size(); i++) {
            if (program.ops().get(i) instanceof Op.Linear linear) {
                long weights = linear.weights().stream()
                        .mapToLong(handle -> program.tensor(handle).shape().stream()
                                .mapToLong(Integer::longValue)
                                .reduce(1, (a, b) -> a * b))
                        .sum();
                OpCosts.Work work = costs.of(new int[] {i}, ROWS, inputs);
                assertThat(work.flops()).isEqualTo(2L * ROWS * weights);
                assertThat(work.bytes()).isGreaterThan(4L * weights);
                assertThat(costs.name(new int[] {i, i})).isEqualTo("linear+linear");
            }
            if (program.ops().get(i) instanceof Op.Attention attention) {
                long pairs = ROWS * (ROWS + 1L) / 2;
                assertThat(costs.of(new int[] {i}, ROWS, inputs).flops())
                        .isEqualTo(2 * pairs * attention.heads() * (attention.keyDim() + attention.valueDim()));
            }
        }
    }

    private static StepInputs inputs() {
        return StepInputs.whole(new int[ROWS], new int[] {0, ROWS}, new int[ROWS]);
    }
}
