package io.millrace.worker.model;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The golden quantised checkpoints: one of each format among the test resources, the others in the folder {@code ../shared} beside
 * the repository where there is one.
 */
public record QuantGolden(String name, Path folder) {

    private static final Path SHARED = Path.of("..", "..", "shared", "golden", "quant");

    /** All that are here, each once. */
    public static Stream<QuantGolden> all() {
        return of(SHARED, Golden.path("quant"));
    }

    /** Those among the test resources. */
    public static Stream<QuantGolden> kept() {
        return of(Golden.path("quant"));
    }

    private static Stream<QuantGolden> of(Path... roots) {
        Map<String, QuantGolden> found = new TreeMap<>();
        for (Path root : roots) {
            if (Files.isDirectory(root)) {
                try (Stream<Path> folders = Files.list(root)) {
                    folders.filter(Files::isDirectory)
                            .map(folder -> new QuantGolden(folder.getFileName().toString(), folder))
                            .forEach(golden -> found.put(golden.name(), golden));
                } catch (IOException e) {
                    throw new UncheckedIOException(e);
                }
            } else {
                System.err.println("SKIPPED, further quantised checkpoints: there is no " + root);
            }
        }
        return found.values().stream();
    }

    public static QuantGolden of(String name) {
        return new QuantGolden(name, Golden.path("quant/" + name));
    }

    public JsonNode golden() {
        return JsonMapper.shared().readTree(folder.resolve("golden.json").toFile());
    }

    public String config() {
        try {
            return Files.readString(folder.resolve("config.json"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public boolean has(String file) {
        return Files.exists(folder.resolve(file));
    }

    public float[] floats(String file) {
        try {
            byte[] raw = Files.readAllBytes(folder.resolve(file));
            float[] values = new float[raw.length / 4];
            ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
            return values;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Override
    public String toString() {
        return name;
    }
}
