package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** {@code millrace models SPEC}. */
class ModelsCommandTest {

    private static final Path GOLDEN = Path.of("..", "worker", "src", "test", "resources", "golden");
    private static final String TINY =
            GOLDEN.resolve("gguf/tiny-llama-mixed.gguf").toString();

    private record Result(int status, String out) {}

    private static Result models(String... arguments) {
        List<String> all = new ArrayList<>(List.of("models"));
        all.addAll(List.of(arguments));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        PrintStream print = new PrintStream(out, true, StandardCharsets.UTF_8);
        int status = CommandLines.run(all.toArray(String[]::new), print, print);
        return new Result(status, out.toString(StandardCharsets.UTF_8));
    }

    @Test
    void modelsAreDescribedWithoutBeingLoaded() {
        Result result = models(
                "--kv-memory",
                "16MB",
                "--max-model-len",
                "128",
                TINY,
                GOLDEN.resolve("quant/bnb-fp4").toString());

        assertThat(result.status()).as(result.out()).isZero();
        assertThat(result.out())
                .contains("tiny-llama-mixed: llama, ", "parameters at", "bits", "needs", "available are", "KV cache 16")
                .contains("sequences of up to 128 tokens")
                .contains("bnb-fp4: llama, bitsandbytes fp4, ");
    }

    @Test
    void modelsThatPoolAreDescribedByWhatTheyTake() {
        Result result = models(GOLDEN.resolve("encoders/bert-tiny").toString());
        assertThat(result.out()).contains("bert for embeddings, ", "KV cache 0", "takes inputs of up to");
        Result decoder =
                models("--task", "embed", GOLDEN.resolve("quant/awq-g32").toString());
        assertThat(decoder.out()).contains("llama for embeddings, AWQ 4 bit, groups of 32, ");
        assertThat(models("--task", "dance", TINY).out()).contains("MR-SERVE-007");
    }

    @Test
    void whatCannotBeLoadedIsToldAndIsTheStatus() {
        Result result = models(
                "--kv-memory",
                "100000GB",
                TINY,
                "no/such/file",
                GOLDEN.resolve("gguf/bad/version-1.gguf").toString());

        assertThat(result.status()).isEqualTo(1);
        assertThat(result.out()).contains("MR-MEM-001", "short by", "MR-HUB-003", "MR-GGUF-003");
        assertThat(models("--kv-memory", "much", TINY).status()).isEqualTo(2);
    }
}
