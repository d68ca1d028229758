package io.millrace.worker.profile;

import io.millrace.worker.backend.OpCosts;
import java.util.concurrent.TimeUnit;

/**
 * What a machine can do at most (Williams, Waterman and Patterson 2009, "Roofline").
 *
 * @param bytesPerS from memory
 * @param flopsPerS in float32
 */
public record Roofline(double bytesPerS, double flopsPerS) {

    private static final int STREAM_LONGS = 16 << 20;
    private static final int LANES = 64;
    private static final int ROUNDS = 200_000;

    /** Measures this machine with that many threads; takes about a second. */
    public static Roofline measure(int threads) throws InterruptedException {
        var data = new long[STREAM_LONGS];
        double stream = best(threads, thread -> sum(data, thread, threads), (double) STREAM_LONGS * Long.BYTES);
        double arithmetic = best(threads, thread -> multiply(), (double) threads * 2 * LANES * ROUNDS);
        return new Roofline(stream, arithmetic);
    }

    /** Least share of a second that the work takes. */
    double seconds(OpCosts.Work work) {
        return Math.max(work.bytes() / bytesPerS, work.flops() / flopsPerS);
    }

    private interface Load {
        double run(int thread);
    }

    /** Best of some runs, in amount a second. */
    private static double best(int threads, Load load, double amount) throws InterruptedException {
        double best = 0;
        for (int run = 0; run < 6; run++) {
            var all = new Thread[threads];
            var kept = new double[threads];
            long began = System.nanoTime();
            for (int t = 0; t < threads; t++) {
                int thread = t;
                all[t] = Thread.ofPlatform().start(() -> kept[thread] = load.run(thread));
            }
            for (Thread each : all) {
                each.join();
            }
            double seconds = (double) (System.nanoTime() - began) / TimeUnit.SECONDS.toNanos(1);
            best = Math.max(best, amount / seconds + 0 * kept[0]);
        }
        return best;
    }

    private static double sum(long[] data, int thread, int threads) {
        int from = (int) ((long) data.length * thread / threads);
        int to = (int) ((long) data.length * (thread + 1) / threads);
        long sum = 0;
        for (int i = from; i < to; i++) {
            sum += data[i];
        }
        return sum;
    }

    /** Multiplies and adds what stays in the registers or the first cache. */
    private static double multiply() {
        float[] a = new float[LANES];
        float[] b = new float[LANES];
        java.util.Arrays.fill(b, 0.999f);
        for (int round = 0; round < ROUNDS; round++) {
            for (int i = 0; i < LANES; i++) {
                a[i] = a[i] * b[i] + 0.001f;
            }
        }
        return a[0];
    }
}
