package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.fuzz.Fuzzer;
import io.millrace.standalone.fuzz.LeakWatch;
import java.net.URI;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * Malformed requests of every kind, on every path of the API's page: none of them is answered by a 5xx or in a wrong shape, and none leaves
 * anything behind. {@code -Dfuzz.seed=N} tries one seed again, {@code -Dfuzz.cases=N} so many cases of it.
 */
class FuzzTest {

    private static final int SHORT_CASES = 3_000;
    private static final int LONG_CASES = 110_000;
    private static final int CONNECTIONS = 32;
    private static final long SHORT_SEED = 20261;
    private static final long HEAP_GROWTH_MAX = 48 << 20;

    @Test
    @ExtendWith(SharedSystem.class)
    @Timeout(120)
    void aFewThousandMalformedRequestsHarmNothing(SystemUnderTest system) throws Exception {
        int port = URI.create(system.url()).getPort();
        try (var watch = new LeakWatch(port)) {
            var fuzzer = new Fuzzer(port, Long.getLong("fuzz.seed", SHORT_SEED));
            checkNothingIsWrong(fuzzer.run(Integer.getInteger("fuzz.cases", SHORT_CASES), CONNECTIONS));
            // What was begun may go on for a while on a system that others use too: the long form waits for its end.
            checkNothingIsLeft(watch, false);
        }
    }

    @Test
    @Tag("long")
    @Timeout(900)
    void aHundredThousandLeaveNoConnectionRequestNorMemoryBehind(@TempDir Path dir) throws Exception {
        long seed = Long.getLong("fuzz.seed", ThreadLocalRandom.current().nextInt(1_000_000));
        System.out.println("FuzzTest: seed " + seed);
        Map<String, Object> properties = Map.of(
                "millrace.worker.models[0]", "mock:alpha",
                "millrace.worker.models[1]", "mock:tiny",
                "millrace.router.detach-grace", "1s");
        try (SystemUnderTest system = SystemUnderTest.start(dir, properties, "alpha", "tiny")) {
            int port = URI.create(system.url()).getPort();
            try (var watch = new LeakWatch(port)) {
                var fuzzer = new Fuzzer(port, seed);
                int cases = Integer.getInteger("fuzz.cases", LONG_CASES);
                checkNothingIsWrong(fuzzer.run(cases / 4, CONNECTIONS));
                checkNothingIsLeft(watch, true);
                long warm = LeakWatch.heap();
                checkNothingIsWrong(fuzzer.run(cases - cases / 4, CONNECTIONS));
                checkNothingIsLeft(watch, true);
                long grown = LeakWatch.heap() - warm;
                System.out.println("FuzzTest: " + fuzzer.tally() + ", heap " + (warm >> 20) + " MB and " + (grown >> 20)
                        + " MB more");
                assertThat(grown).as("bytes of heap").isLessThan(HEAP_GROWTH_MAX);
            }
        }
    }

    /** The first of them in the failure's first line, which is all that a summary may show. */
    private static void checkNothingIsWrong(List<String> failures) {
        assertThat(failures)
                .as(() -> failures.isEmpty() ? "" : failures.getFirst().replace("\n", " "))
                .isEmpty();
    }

    private static void checkNothingIsLeft(LeakWatch watch, boolean requestsToo) throws Exception {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        long open = watch.connections();
        Map<String, Double> underWay = requestsToo ? watch.underWay() : Map.of();
        while ((open > 0 || !underWay.isEmpty()) && System.nanoTime() < end) {
            TimeUnit.MILLISECONDS.sleep(50);
            open = watch.connections();
            underWay = requestsToo ? watch.underWay() : Map.of();
        }
        assertThat(underWay).as("under way").isEmpty();
        assertThat(open).as("open connections").isLessThanOrEqualTo(0);
        // A buffer that leaked is told of when the next one is taken, once it was collected.
        LeakWatch.heap();
        watch.underWay();
        assertThat(watch.errors()).isEqualTo(List.of());
    }
}
