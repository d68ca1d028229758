package io.millrace.standalone.process;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ChildrenTest {

    private static final long PATIENCE_MS = 60_000;

    @TempDir
    Path dir;

    private record Ending(long toldMs, long endedMs) {}

    private Ending ending(String name) throws IOException {
        String[] times = Files.readString(dir.resolve(name)).split(" ");
        return new Ending(Long.parseLong(times[0]), Long.parseLong(times[1]));
    }

    private long close(Map<String, Integer> endsAfterMs) throws Exception {
        Children children = new Children(SlowToEnd.class.getName(), dir.resolve("logs"), (name, line) -> {});
        for (Map.Entry<String, Integer> each : endsAfterMs.entrySet()) {
            children.start(
                    each.getKey(),
                    List.of(
                            dir.resolve(each.getKey()).toString(),
                            each.getValue().toString()));
        }
        for (String name : endsAfterMs.keySet()) {
            assertThat(children.await(name, PATIENCE_MS)).isEqualTo("here");
        }
        long began = System.nanoTime();
        children.close();
        return TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
    }

    @Test
    void allAreAskedAtOnceAndHaveTimeToHandOverAndTheBrokerEndsAfterThem() throws Exception {
        long tookMs = close(Map.of(Children.BROKER, 0, "gateway", 3_000, "worker-1", 3_000, "worker-2", 3_000));
        long last = 0;
        for (String name : List.of("gateway", "worker-1", "worker-2")) {
            last = Math.max(last, ending(name).endedMs());
        }
        assertThat(ending(Children.BROKER).toldMs()).isGreaterThanOrEqualTo(last);
        assertThat(tookMs).isBetween(3_000L, 8_500L);
    }

    @Test
    void oneThatHangsIsEndedAtTheDeadlineThatAllShare() throws Exception {
        long tookMs = close(Map.of(Children.BROKER, 0, "worker-1", 60_000, "worker-2", 60_000));
        assertThat(tookMs).isBetween(9_500L, Children.CLOSE_MAX.toMillis() + 500);
        assertThat(dir.resolve("worker-1")).doesNotExist();
        assertThat(dir.resolve(Children.BROKER)).exists();
    }
}
