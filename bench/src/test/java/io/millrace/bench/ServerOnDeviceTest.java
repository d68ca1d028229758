package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What is run on a GPU, on the emulated library. */
@Tag("long")
@Timeout(600)
class ServerOnDeviceTest {

    private static final String LIBRARY = "../kernels/build/libmillrace_cuda_emulated.so";
    private static final String GOLDEN = "../worker/src/test/resources/golden/gguf/tiny-llama-f16.gguf";

    private static final String CLASS_PATH = "java.class.path";

    @TempDir
    Path dir;

    private final String whole = System.getProperty(CLASS_PATH);

    /** What is started has the jars of the pack, and no others. */
    @BeforeEach
    void leaveOutWhatAPackLacks() throws IOException {
        Pattern unused = Pattern.compile(Files.readAllLines(Path.of("../kernels/gpu-pack")).stream()
                .filter(line -> line.startsWith("unused='"))
                .map(line -> line.substring(8, line.length() - 1))
                .findFirst()
                .orElseThrow());
        String packed = Arrays.stream(whole.split(File.pathSeparator))
                .filter(entry -> !unused.matcher(new File(entry).getName()).find())
                .collect(Collectors.joining(File.pathSeparator));
        assertThat(packed.length()).isLessThan(whole.length());
        System.setProperty(CLASS_PATH, packed);
    }

    @AfterEach
    void restore() {
        System.setProperty(CLASS_PATH, whole);
    }

    @Test
    void theWholeServerPassesItsChecksAndGivesARowForEachWork() throws Exception {
        Assumptions.assumeTrue(
                Files.isRegularFile(Path.of(LIBRARY)), "SKIPPED, the emulated CUDA kernels are not built");
        ByteArrayOutputStream said = new ByteArrayOutputStream();
        ServerPlan plan = ServerPlan.of(LIBRARY, GOLDEN, "shapes/tiny.json", "2", "8", "60", "2:4", "3:6");
        boolean passed = ServerOnDevice.run(
                plan.with("--kv-memory", "16MB"), dir, new PrintStream(said, true, StandardCharsets.UTF_8));
        String lines = said.toString(StandardCharsets.UTF_8);
        assertThat(passed).as(lines).isTrue();
        assertThat(lines.lines().filter(line -> line.contains("\t")))
                .hasSize(3)
                .anyMatch(
                        line -> line.matches(
                                "server, tiny in bf16, 6 requests, 3 at a time, \\d+ tokens in, 8 out\t[0-9.]+\t[0-9.]+\ttokens/s, first token after .*\t"))
                .anyMatch(line -> line.startsWith("server, worker killed in mid-stream"));
        assertThat(lines).contains("# cuda-3-emulated-").endsWith("server: 15 passed, 0 failed\n");
    }
}
