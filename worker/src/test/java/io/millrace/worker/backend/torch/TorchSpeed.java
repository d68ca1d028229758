package io.millrace.worker.backend.torch;

import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.torch.PagedRunner.Sequence;
import io.millrace.worker.backend.torch.PagedRunner.Work;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;

/** Measures a runtime by hand: load, decode at several batch sizes, prefill. Arguments: model file, threads. */
final class TorchSpeed {

    private TorchSpeed() {}

    public static void main(String[] args) {
        int threads = args.length > 1
                ? Integer.parseInt(args[1])
                : Runtime.getRuntime().availableProcessors();
        long start = System.nanoTime();
        try (ModelRuntime runtime = GoldenModels.load(Path.of(args[0]), GoldenModels.blocks(16, 32768), threads)) {
            System.out.printf(
                    "load %.2f s, %s, %d threads%n", (System.nanoTime() - start) / 1e9, runtime.numericsId(), threads);
            decode(runtime, 1, 128, 32);
            for (int round = 0; round < 3; round++) {
                for (int batch : new int[] {1, 4, 32}) {
                    System.out.printf(
                            "decode batch %d: %.1f tok/s%n", batch, decode(runtime, batch, 128, batch == 1 ? 60 : 20));
                }
                for (int length : new int[] {512}) {
                    System.out.printf("prefill %d: %.1f tok/s%n", length, prefill(runtime, length));
                }
            }
        }
    }

    private static double decode(ModelRuntime runtime, int batch, int prompt, int tokens) {
        PagedRunner runner = new PagedRunner(runtime, 1);
        Random random = new Random(1);
        List<Sequence> all = new ArrayList<>();
        for (int i = 0; i < batch; i++) {
            Sequence seq = runner.sequence(random.ints(prompt, 3, 40000).toArray());
            runner.step(List.of(new Work(seq, prompt, false)));
            all.add(seq);
        }
        List<Work> work = all.stream().map(s -> new Work(s, 1, false)).toList();
        double[] seconds = new double[tokens];
        long cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
        for (int i = 0; i < tokens; i++) {
            long start = System.nanoTime();
            runner.step(work);
            seconds[i] = (System.nanoTime() - start) / 1e9;
        }
        cpu = ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime() - cpu;
        System.out.printf("  %.1f ms of the caller's processor time a step%n", cpu / 1e6 / tokens);
        Arrays.sort(seconds);
        return batch / seconds[tokens / 2];
    }

    private static double prefill(ModelRuntime runtime, int length) {
        double best = Double.MAX_VALUE;
        for (int i = 0; i < 4; i++) {
            PagedRunner runner = new PagedRunner(runtime, 1);
            Sequence seq = runner.sequence(new Random(i).ints(length, 3, 40000).toArray());
            long start = System.nanoTime();
            runner.step(List.of(new Work(seq, length, false)));
            best = Math.min(best, (System.nanoTime() - start) / 1e9);
        }
        return length / best;
    }
}
