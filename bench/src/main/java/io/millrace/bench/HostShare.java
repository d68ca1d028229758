package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.engine.HostTimes;
import io.millrace.worker.engine.StepReport;
import java.io.PrintWriter;
import java.util.Comparator;
import java.util.List;
import tools.jackson.databind.node.ObjectNode;

/**
 * What a step of many streams takes on average, in milliseconds, from the end of one step to the end of the next.
 *
 * @param steps that were counted
 * @param stepMs all of it
 * @param nativeMs the model's arithmetic
 * @param planMs planning and inputs
 * @param drawMs handing over, and choosing the ids
 * @param bookMs text, rules, handing out
 * @param listenerMs of processor time, on another thread, beside the next step
 */
record HostShare(
        int steps, double stepMs, double nativeMs, double planMs, double drawMs, double bookMs, double listenerMs) {

    /**
     * Of the steps in which all streams decode and nothing else, and after which another such step followed at once.
     *
     * @param listenerNanos of processor time that listeners took in all these steps
     */
    static HostShare of(List<StepReport> reports, int streams, long listenerNanos) {
        int counted = 0;
        long whole = 0;
        long plan = 0;
        long draw = 0;
        long book = 0;
        long arithmetic = 0;
        for (int i = 1; i + 1 < reports.size(); i++) {
            StepReport before = reports.get(i - 1);
            StepReport step = reports.get(i);
            HostTimes host = reports.get(i + 1).hostBefore();
            if (!full(before, streams) || !full(step, streams) || host.totalNanos() == 0) {
                continue;
            }
            counted++;
            whole += end(step) - end(before);
            arithmetic += step.durationNanos() - host.drawNanos();
            plan += host.planNanos();
            draw += host.drawNanos();
            // That of the step before lies between the two ends; over many steps they are the same.
            book += host.bookNanos();
        }
        if (counted == 0) {
            throw new MillraceException(
                    "MR-BENCH-010",
                    "No two steps in a row had all " + streams + " streams and told their arithmetic. Use --engine cpu"
                            + " and more --max-tokens.");
        }
        double each = 1e6 * counted;
        return new HostShare(
                counted,
                whole / each,
                arithmetic / each,
                plan / each,
                draw / each,
                book / each,
                listenerNanos / 1e6 / reports.size());
    }

    private static boolean full(StepReport step, int streams) {
        return step.decodeRows() == streams && step.prefillTokens() == 0;
    }

    private static long end(StepReport step) {
        return step.startNanos() + step.durationNanos();
    }

    /** All but the arithmetic, over the whole. */
    double share() {
        return (stepMs - nativeMs) / stepMs;
    }

    /** The one with the share in the middle. */
    static HostShare median(List<HostShare> shares) {
        return shares.stream()
                .sorted(Comparator.comparingDouble(HostShare::share))
                .toList()
                .get(shares.size() / 2);
    }

    private double otherMs() {
        return stepMs - nativeMs - planMs - drawMs - bookMs;
    }

    void print(PrintWriter print) {
        print.printf(
                "A step takes %.2f ms, of which %.2f ms (%.1f %%) are the host's: planning %.2f, drawing %.2f, text and books %.2f, other %.2f.%n",
                stepMs, stepMs - nativeMs, 100 * share(), planMs, drawMs, bookMs, otherMs());
        print.printf(
                "Beside the next step, on a thread of their own, listeners take %.2f ms of a processor.%n", listenerMs);
    }

    void write(ObjectNode to) {
        to.put("steps", steps)
                .put("step_ms", rounded(stepMs))
                .put("native_ms", rounded(nativeMs))
                .put("host_ms", rounded(stepMs - nativeMs))
                .put("host_share", rounded(share()))
                .put("plan_ms", rounded(planMs))
                .put("draw_ms", rounded(drawMs))
                .put("book_ms", rounded(bookMs))
                .put("other_ms", rounded(otherMs()))
                .put("listener_cpu_ms", rounded(listenerMs));
    }

    private static double rounded(double value) {
        return Math.round(value * 1e4) / 1e4;
    }
}
