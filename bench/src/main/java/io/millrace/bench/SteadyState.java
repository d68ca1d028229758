package io.millrace.bench;

import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.util.function.IntFunction;

/**
 * Requests that are sent, and not counted, until the server is in its steady state: a JVM interprets its code first and compiles
 * what has run often enough. They go out in blocks; it is steady when in two blocks in turn the median time to the first token
 * is the same within {@value #SAME_PERCENT} % and the compilers of this JVM worked less than {@value #COMPILING_PERCENT} % of
 * the second block's time.
 */
final class SteadyState {

    static final int BLOCK = 500;
    private static final int SAME_PERCENT = 5;
    private static final int COMPILING_PERCENT = 10;
    private static final long PATIENCE_S = 60;
    private static final long SEED = 2;

    private SteadyState() {}

    /**
     * How it was reached.
     *
     * @param requests sent for it
     * @param reached false when the most requests were not enough
     */
    record Reached(int requests, boolean reached) {}

    /**
     * Sends blocks until it is steady.
     *
     * @param most requests; 0: none are sent
     * @param perSecond mean arrivals
     */
    static Reached await(int most, double perSecond, IntFunction<StreamTimes> one) throws InterruptedException {
        CompilationMXBean compilers = ManagementFactory.getCompilationMXBean();
        double before = 0;
        int sent = 0;
        while (sent < most) {
            int block = Math.min(BLOCK, most - sent);
            long compiled = compilers.getTotalCompilationTime();
            var load = new LoadResult(1_000, 100);
            double seconds = OpenLoop.run(block, perSecond, SEED + sent, PATIENCE_S, load, one);
            sent += block;
            double now = load.firstMs(50);
            double compiling = (compilers.getTotalCompilationTime() - compiled) / 10.0 / seconds;
            if (load.ok() == block
                    && compiling < COMPILING_PERCENT
                    && Math.abs(now - before) <= Math.max(now, before) * SAME_PERCENT / 100) {
                return new Reached(sent, true);
            }
            before = now;
        }
        return new Reached(sent, false);
    }
}
