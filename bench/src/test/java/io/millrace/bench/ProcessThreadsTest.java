package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ProcessThreadsTest {

    @TempDir
    Path tasks;

    private void thread(String id, String name, long nanos) throws IOException {
        Path task = Files.createDirectories(tasks.resolve(id));
        Files.writeString(task.resolve("comm"), name + "\n");
        Files.writeString(task.resolve("schedstat"), nanos + " 17 3\n");
    }

    @Test
    void threadsAreSummedByTheFirstPartThatFitsAndNewOnesCountWhole() throws Exception {
        thread("10", "kernels-1", 1_000);
        thread("11", "kafka-producer-", 500);
        thread("12", "executor-Fetch", 7);
        ProcessThreads before = ProcessThreads.in(tasks);
        thread("10", "kernels-1", 1_600);
        thread("11", "kafka-producer-", 500);
        thread("12", "executor-Fetch", 9);
        thread("13", "millrace-engine", 40);
        Map<String, String> parts = new LinkedHashMap<>();
        parts.put("kernels", "engine");
        parts.put("millrace", "engine");
        parts.put("k", "never");

        assertThat(ProcessThreads.in(tasks).since(before, parts, "rest")).isEqualTo(Map.of("engine", 640L, "rest", 2L));
    }

    @Test
    void aFolderThatIsNotThereHasNone() {
        assertThat(ProcessThreads.in(tasks.resolve("none")).threads()).isEmpty();
    }
}
