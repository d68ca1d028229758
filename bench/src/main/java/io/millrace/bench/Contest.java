package io.millrace.bench;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.DoubleStream;

/** Samples of several contenders who take turns. A sample counts when the machine was whole while it was taken. */
final class Contest {

    /** What a sample must have to count, unless the machine never gives so much. */
    private static final double GOOD_READ_GB_S = 60;

    private static final double GOOD_SCALING = 1.9;
    private static final double OF_ITS_BEST = 0.9;

    private record Taken(double rate, MachineProbe.Sample machine) {}

    /**
     * A contender's result.
     *
     * @param median of the samples that count; of all when none does
     * @param counted samples that count
     */
    record Score(double median, int counted, int taken, double readGbS) {}

    private final Map<String, List<Taken>> samples = new LinkedHashMap<>();

    void add(String contender, double rate, MachineProbe.Sample machine) {
        samples.computeIfAbsent(contender, name -> new ArrayList<>()).add(new Taken(rate, machine));
    }

    /** The bandwidth below which samples do not count. */
    double leastReadGbS() {
        double best = samples.values().stream()
                .flatMap(List::stream)
                .mapToDouble(taken -> taken.machine().readGbS())
                .max()
                .orElse(0);
        return best >= GOOD_READ_GB_S ? GOOD_READ_GB_S : OF_ITS_BEST * best;
    }

    Score score(String contender) {
        double least = leastReadGbS();
        List<Taken> all = samples.getOrDefault(contender, List.of());
        List<Taken> good = all.stream()
                .filter(taken ->
                        taken.machine().readGbS() >= least && taken.machine().scaling() >= GOOD_SCALING)
                .toList();
        List<Taken> used = good.isEmpty() ? all : good;
        return new Score(
                median(used.stream().mapToDouble(Taken::rate)),
                good.size(),
                all.size(),
                median(used.stream().mapToDouble(taken -> taken.machine().readGbS())));
    }

    /** NaN of none. */
    static double median(DoubleStream values) {
        double[] sorted = values.sorted().toArray();
        int n = sorted.length;
        return n == 0 ? Double.NaN : (sorted[(n - 1) / 2] + sorted[n / 2]) / 2;
    }
}
