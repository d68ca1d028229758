package io.millrace.standalone.fuzz;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** The server's own page of its API ({@code /openapi.json}): whatever stands there is tried. */
final class ApiPage {

    private static final Set<String> METHODS = Set.of("get", "post", "put", "patch", "delete");

    /**
     * A path and what may be done with it.
     *
     * @param schema of its JSON body; null: it has none
     */
    record Operation(String method, String path, @Nullable JsonNode schema, boolean multipart, List<String> query) {}

    private final JsonNode page;
    private final List<Operation> operations = new ArrayList<>();

    ApiPage(JsonNode page) {
        this.page = page;
        for (Map.Entry<String, JsonNode> path : page.path("paths").properties()) {
            for (Map.Entry<String, JsonNode> each : path.getValue().properties()) {
                if (METHODS.contains(each.getKey())) {
                    operations.add(operation(each.getKey().toUpperCase(Locale.ROOT), path.getKey(), each.getValue()));
                }
            }
        }
    }

    private static Operation operation(String method, String path, JsonNode operation) {
        JsonNode content = operation.path("requestBody").path("content");
        JsonNode schema = content.path("application/json").get("schema");
        List<String> query = new ArrayList<>();
        for (JsonNode parameter : operation.path("parameters")) {
            if (parameter.path("in").asString("").equals("query")) {
                query.add(parameter.path("name").asString());
            }
        }
        return new Operation(method, path, schema, content.has("multipart/form-data"), query);
    }

    List<Operation> operations() {
        return operations;
    }

    /** The schema that this one refers to, or itself. */
    JsonNode resolved(JsonNode schema) {
        String reference = schema.path("$ref").asString("");
        return reference.isEmpty() ? schema : resolved(page.at(reference.substring(1)));
    }
}
