package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A kernel of a worker's CUDA engine faults, under the emulator: the worker says so, ends with its own status, and its request goes on elsewhere. */
@Tag("long")
@Timeout(400)
class LostDeviceTest {

    private static final Path LIBRARY = Path.of("../kernels/build/libmillrace_cuda_emulated.so");
    private static final Path MODEL = Path.of("../worker/src/test/resources/golden/gguf/tiny-llama-f16.gguf");
    private static final int TOKENS = 60;

    @TempDir
    Path dir;

    @Test
    void aWorkerThatLosesItsDeviceEndsAndItsRequestGoesOnElsewhere() throws Exception {
        Assumptions.assumeTrue(Files.isRegularFile(LIBRARY), "SKIPPED, the emulated CUDA kernels are not built");
        try (WorkerProcesses processes = new WorkerProcesses(dir);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            // Some of the launches are those of its warm-up; the rest are not enough for the answer.
            Process faulty = worker(processes, "faulty", Map.of("EMULATED_CUDA_FAULT_AFTER", "900"));
            String url = processes.serve("tiny-llama-f16");
            Future<HttpResponse<String>> answer = threads.submit(() -> ask(url));

            assertThat(faulty.waitFor(120, TimeUnit.SECONDS)).isTrue();
            assertThat(faulty.exitValue()).isEqualTo(3);
            assertThat(Files.readString(processes.output("faulty"))).contains("MR-CUDA-004");

            worker(processes, "sound", Map.of());
            HttpResponse<String> resumed = answer.get(120, TimeUnit.SECONDS);
            assertThat(resumed.statusCode()).as(resumed.body()).isEqualTo(200);
            assertThat(text(resumed)).isEqualTo(text(ask(url)));
        }
    }

    private static Process worker(WorkerProcesses processes, String name, Map<String, String> more) throws IOException {
        Map<String, String> environment = new HashMap<>(more);
        environment.put("MILLRACE_CUDA_KERNELS", LIBRARY.toAbsolutePath().toString());
        return processes.worker(
                name, environment, "--engine", "cuda", "--model", MODEL.toString(), "--kv-memory", "16MB");
    }

    private static HttpResponse<String> ask(String url) throws Exception {
        return SystemUnderTest.send(
                url + "/v1/completions",
                "{\"model\":\"tiny-llama-f16\",\"prompt\":\"one two\",\"max_tokens\":" + TOKENS
                        + ",\"temperature\":0,\"ignore_eos\":true}");
    }

    private static String text(HttpResponse<String> response) {
        String body = response.body();
        int from = body.indexOf("\"text\"");
        return body.substring(from, body.indexOf("\"finish_reason\"", from));
    }
}
