package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A worker for which no engine is named, where the CUDA kernels are found; they run under their emulator. */
@Tag("long")
@Timeout(180)
class AutoEngineSystemTest {

    private static final Path LIBRARY = Path.of("../kernels/build/libmillrace_cuda_emulated.so");
    private static final Path MODEL = Path.of("../worker/src/test/resources/golden/gguf/tiny-llama-f16.gguf");

    @TempDir
    Path dir;

    @ParameterizedTest
    @CsvSource({
        "'', runs on the GPU: emulator, runs on the cuda engine",
        "swapped_columns, '[MR-CUDA-005] The GPU failed its check', runs on the cpu engine"
    })
    void itServesOnWhatTheCheckAllows(String machine, String said, String engine) throws Exception {
        Assumptions.assumeTrue(Files.isRegularFile(LIBRARY), "SKIPPED, the emulated CUDA kernels are not built");
        Map<String, String> environment = Map.of(
                "MILLRACE_CUDA_KERNELS",
                LIBRARY.toAbsolutePath().toString(),
                "EMULATED_CUDA_MACHINE",
                machine,
                "CUDA_VISIBLE_DEVICES",
                "0");
        try (WorkerProcesses processes = new WorkerProcesses(dir)) {
            processes.worker("auto", environment, "--model", MODEL.toString(), "--kv-memory", "16MB");
            String url = processes.serve("tiny-llama-f16");

            HttpResponse<String> answer = SystemUnderTest.send(
                    url + "/v1/completions",
                    "{\"model\":\"tiny-llama-f16\",\"prompt\":\"one two\",\"max_tokens\":8,\"temperature\":0,\"ignore_eos\":true}");
            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
            assertThat(Files.readString(processes.output("auto"))).contains(said, engine);
        }
    }
}
