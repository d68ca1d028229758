package io.millrace.worker.sampling;

import java.util.Map;
import java.util.Random;

/** Prints what a row costs; run by hand. */
final class SamplerSpeed {

    private SamplerSpeed() {}

    public static void main(String[] args) {
        for (int vocabulary : new int[] {49_152, 151_936}) {
            time("greedy", vocabulary, new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1, Map.of(), -1));
            time("greedy, 5 logprobs", vocabulary, new SamplingParams(0, 0, 1, 0, 1, 0, 0, 1, Map.of(), 5));
            time("temperature", vocabulary, new SamplingParams(1, 0, 1, 0, 1, 0, 0, 1, Map.of(), -1));
            time("top-p 0.95", vocabulary, new SamplingParams(1, 0, 0.95f, 0, 1, 0, 0, 1, Map.of(), -1));
            time("top-k 50, top-p 0.9", vocabulary, new SamplingParams(0.7f, 50, 0.9f, 0, 1, 0, 0, 1, Map.of(), -1));
            time("min-p 0.05", vocabulary, new SamplingParams(1, 0, 1, 0.05f, 1, 0, 0, 1, Map.of(), -1));
        }
    }

    private static void time(String name, int vocabulary, SamplingParams p) {
        Random random = new Random(1);
        float[] logits = new float[vocabulary];
        for (int i = 0; i < vocabulary; i++) {
            logits[i] = (float) (random.nextGaussian() * 2.5);
        }
        for (int i = 0; i < 30; i++) {
            logits[random.nextInt(vocabulary)] = 8 + random.nextFloat() * 8;
        }
        Sampler sampler = new Sampler(vocabulary);
        long best = Long.MAX_VALUE;
        int sum = 0;
        for (int round = 0; round < 12; round++) {
            long from = System.nanoTime();
            for (int i = 0; i < 200; i++) {
                sum += sampler.sample(logits, new SamplingRow(p, 1, 0, i, ListedHistory.NONE, new int[0], false))
                        .id();
            }
            best = Math.min(best, System.nanoTime() - from);
        }
        System.out.printf("%-20s %7d ids  %6.1f us  (%d)%n", name, vocabulary, best / 200e3, sum);
    }
}
