package io.millrace.bench;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * Whether anything grew over a long load: the median of the last third of the samples against that of the first third, since single samples
 * swing with what is under way when they are taken.
 */
final class SoakVerdict {

    /** Fewer say nothing. */
    static final int SAMPLES_MIN = 6;

    private static final double HEAP_SHARE = 0.10;
    private static final double HEAP_BYTES = 16 << 20;
    private static final double FILES = 32;
    private static final double THREADS = 16;
    private static final double QUEUED = 64;

    private SoakVerdict() {}

    /** What is wrong; empty: nothing. */
    static List<String> judge(List<SoakSample> samples, SoakSample idle, long failed) {
        List<String> wrong = new ArrayList<>();
        if (failed > 0) {
            wrong.add("%,d requests failed".formatted(failed));
        }
        if (!idle.idle()) {
            wrong.add("under way although nobody asks: " + idle.underWay());
        }
        if (samples.size() < SAMPLES_MIN) {
            wrong.add("%d samples are too few; at least %d are needed".formatted(samples.size(), SAMPLES_MIN));
            return wrong;
        }
        double heap = grown(samples, SoakSample::heapBytes);
        double bound = HEAP_BYTES + HEAP_SHARE * median(first(samples), SoakSample::heapBytes);
        if (heap > bound) {
            wrong.add("the heap grew by %,.0f bytes; %,.0f are allowed".formatted(heap, bound));
        }
        check(wrong, "file handles", grown(samples, SoakSample::files), FILES);
        check(wrong, "threads", grown(samples, SoakSample::threads), THREADS);
        for (String name : samples.getFirst().underWay().keySet()) {
            if (!name.equals(SoakSample.BLOCKS)) {
                check(wrong, name, grown(samples, sample -> sample.gauge(name)), QUEUED);
            }
        }
        return wrong;
    }

    private static void check(List<String> wrong, String what, double grown, double most) {
        if (grown > most) {
            wrong.add("%s grew by %,.0f; %,.0f are allowed".formatted(what, grown, most));
        }
    }

    /** By how much the median rose from the first third to the last. */
    static double grown(List<SoakSample> samples, ToDoubleFunction<SoakSample> of) {
        int third = samples.size() / 3;
        return median(samples.subList(samples.size() - third, samples.size()), of) - median(first(samples), of);
    }

    private static List<SoakSample> first(List<SoakSample> samples) {
        return samples.subList(0, samples.size() / 3);
    }

    private static double median(List<SoakSample> samples, ToDoubleFunction<SoakSample> of) {
        double[] sorted = samples.stream().mapToDouble(of).sorted().toArray();
        return sorted[sorted.length / 2];
    }
}
