package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** Where results are kept: one JSON file a run. */
public final class Results {

    private static final DateTimeFormatter STAMP =
            DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss").withZone(ZoneOffset.UTC);

    private final JsonMapper json = new JsonMapper();

    /** An empty object. */
    public ObjectNode object() {
        return json.createObjectNode();
    }

    /** Writes it to {@code folder/NAME-TIME.json}; returns the file. */
    public Path write(Path folder, String name, ObjectNode result) {
        Instant now = Instant.now();
        result.put("at", now.toString());
        result.put("java", Runtime.version().toString());
        result.put("cores", Runtime.getRuntime().availableProcessors());
        Path file = folder.resolve(name + "-" + STAMP.format(now) + ".json");
        try {
            Files.createDirectories(folder);
            Files.writeString(file, json.writerWithDefaultPrettyPrinter().writeValueAsString(result));
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-BENCH-001", "The results cannot be written to " + file + " (" + e + ").", e);
        }
        return file;
    }

    /** Percentiles of a load. */
    ObjectNode percentiles(LoadResult load) {
        ObjectNode all = object();
        for (double p : new double[] {50, 90, 95, 99}) {
            all.putObject("p" + (int) p)
                    .put("ttft_ms", load.firstMs(p))
                    .put("inter_token_ms", load.gapMs(p))
                    .put("e2e_ms", load.totalMs(p));
        }
        return all;
    }

    /** Where the script lies; else the working folder. */
    public static Path defaultFolder() {
        return Path.of(System.getenv().getOrDefault("MILLRACE_HOME", "."), "bench", "results");
    }
}
