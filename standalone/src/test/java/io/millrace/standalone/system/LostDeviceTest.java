package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * A kernel of a worker's CUDA engine faults in the middle of a stream, under the emulator: the worker says so and ends with its own status; another one
 * goes on, and the client reads what it would have read.
 */
@Tag("long")
@Timeout(400)
class LostDeviceTest {

    private static final Path LIBRARY = Path.of("../kernels/build/libmillrace_cuda_emulated.so");
    private static final Path MODEL = Path.of("../worker/src/test/resources/golden/gguf/tiny-llama-f16.gguf");
    private static final int TOKENS = 60;

    /** Some of them are those of its warm-up; the rest are not enough for the answer. */
    private static final String LAUNCHES = "900";

    @TempDir
    Path dir;

    @Test
    void aStreamWhoseWorkerLosesItsDeviceGoesOnElsewhereByteForByte() throws Exception {
        Assumptions.assumeTrue(Files.isRegularFile(LIBRARY), "SKIPPED, the emulated CUDA kernels are not built");
        try (WorkerProcesses processes = new WorkerProcesses(dir);
                HttpClient client = HttpClient.newHttpClient();
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            Process faulty = worker(processes, "faulty", Map.of("EMULATED_CUDA_FAULT_AFTER", LAUNCHES));
            String url = processes.serve("tiny-llama-f16");
            List<String> read = new CopyOnWriteArrayList<>();
            Future<?> stream = threads.submit(() -> {
                read(client, url, read);
                return null;
            });

            assertThat(faulty.waitFor(120, TimeUnit.SECONDS)).isTrue();
            assertThat(faulty.exitValue()).isEqualTo(3);
            assertThat(Files.readString(processes.output("faulty"))).contains("MR-CUDA-004");
            // There is no other worker yet: whatever comes is what it has written.
            Processes.await("the beginning of the answer", () -> pieces(read) > 0);
            long before = pieces(read);
            assertThat(stream.isDone()).isFalse();

            worker(processes, "sound", Map.of());
            stream.get(120, TimeUnit.SECONDS);
            assertThat(read).last().isEqualTo("data: [DONE]");
            assertThat(before).isLessThan(pieces(read));
            assertThat(read).anyMatch(line -> line.contains("\"completion_tokens\":" + TOKENS));
            List<String> undisturbed = new CopyOnWriteArrayList<>();
            read(client, url, undisturbed);
            assertThat(anonymous(read)).isEqualTo(anonymous(undisturbed));
        }
    }

    private static Process worker(WorkerProcesses processes, String name, Map<String, String> more) throws IOException {
        Map<String, String> environment = new HashMap<>(more);
        environment.put("MILLRACE_CUDA_KERNELS", LIBRARY.toAbsolutePath().toString());
        return processes.worker(
                name, environment, "--engine", "cuda", "--model", MODEL.toString(), "--kv-memory", "16MB");
    }

    /** Asks for a stream and reads it to its end, line by line. */
    private static void read(HttpClient client, String url, List<String> into) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/v1/completions"))
                .header("Content-Type", "application/json")
                .POST(BodyPublishers.ofString(
                        "{\"model\":\"tiny-llama-f16\",\"prompt\":\"one two\",\"temperature\":0,\"ignore_eos\":true,"
                                + "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\":" + TOKENS
                                + "}"))
                .build();
        HttpResponse<Stream<String>> response = client.send(request, BodyHandlers.ofLines());
        assertThat(response.statusCode()).isEqualTo(200);
        try (Stream<String> lines = response.body()) {
            // Comments say that the stream is alive; how many there are depends on the time it takes.
            lines.filter(line -> !line.isEmpty() && !line.startsWith(":")).forEach(into::add);
        }
    }

    private static long pieces(List<String> lines) {
        return lines.stream().filter(line -> line.contains("\"text\"")).count();
    }

    /** Without what differs from call to call. */
    private static String anonymous(List<String> lines) {
        return String.join("\n", lines)
                .replaceAll("\"id\":\"[^\"]*\"", "\"id\":\"\"")
                .replaceAll("\"created\":\\d+", "\"created\":0");
    }
}
