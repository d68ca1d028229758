package io.millrace.worker.text;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Assumptions;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Golden data: from the test resources, or from the folder {@code shared/golden} beside the repository where it is present. */
public final class Golden {

    public static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
            .build();

    private static final Path RESOURCES = Path.of("src/test/resources/golden").toAbsolutePath();

    private Golden() {}

    /** Skips the test, with the reason, where the data is not present. */
    public static Path path(String name) {
        Path inTree = RESOURCES.resolve(name);
        if (Files.exists(inTree)) {
            return inTree;
        }
        Path outside =
                Path.of("../../shared/golden").toAbsolutePath().normalize().resolve(name);
        Assumptions.assumeTrue(
                Files.exists(outside),
                name + " is not in the tree (licence or size) and ../shared/golden is not beside the repository");
        return outside;
    }

    public static JsonNode json(String name) {
        return JSON.readTree(path(name));
    }

    public static int[] ids(JsonNode array) {
        int[] ids = new int[array.size()];
        for (int i = 0; i < ids.length; i++) {
            ids[i] = array.get(i).intValue();
        }
        return ids;
    }

    public static List<String> strings(JsonNode array) {
        List<String> strings = new ArrayList<>();
        for (JsonNode node : array) {
            strings.add(node.stringValue());
        }
        return strings;
    }
}
