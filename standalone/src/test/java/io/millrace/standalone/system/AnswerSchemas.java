package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The schemas of answers in the document of the API, held against what is really sent. Remembers which fields it has seen. */
final class AnswerSchemas {

    private static final JsonMapper JSON = new JsonMapper();

    private final JsonNode document;
    private final Set<String> seen = new HashSet<>();

    AnswerSchemas(SystemUnderTest system) throws Exception {
        this.document = JSON.readTree(system.get("/openapi.json").body());
    }

    /** An answer of that operation has every field that is required, none that is not listed, and each of its type. */
    void check(String method, String path, String body) {
        check(content(method, path).at("/application~1json/schema"), path, body);
    }

    /** The same of every event of a stream. */
    void checkEvents(String method, String path, String body) {
        JsonNode schema = content(method, path).at("/text~1event-stream/schema/x-event");
        List<String> events = body.lines()
                .filter(line -> line.startsWith("data: {"))
                .map(line -> line.substring(6))
                .toList();
        assertThat(events).as(body).hasSizeGreaterThan(1);
        events.forEach(event -> check(schema, path, event));
    }

    /** The same of an error. */
    void checkError(String schema, String body) {
        check(document.path("components").path("schemas").path(schema), schema, body);
    }

    private void check(JsonNode schema, String path, String body) {
        assertThat(schema.isObject()).as("schema of " + path).isTrue();
        assertThat(faults(schema, JSON.readTree(body), ""))
                .as(path + ": " + body)
                .isEmpty();
    }

    /** Fields of these schemas that no answer had so far. */
    Set<String> unseen(String... schemas) {
        Set<String> fields = new TreeSet<>();
        for (String each : schemas) {
            for (String name :
                    document.at("/components/schemas/" + each + "/properties").propertyNames()) {
                fields.add(each + "." + name);
            }
        }
        fields.removeAll(seen);
        return fields;
    }

    private JsonNode content(String method, String path) {
        return document.path("paths")
                .path(path)
                .path(method)
                .path("responses")
                .path("200")
                .path("content");
    }

    private List<String> faults(JsonNode schema, JsonNode value, String place) {
        JsonNode reference = schema.get("$ref");
        if (reference != null) {
            String target = reference.asString().substring(1);
            String name = target.substring(target.lastIndexOf('/') + 1);
            value.propertyNames().forEach(field -> seen.add(name + "." + field));
            return faults(document.at(target), value, place);
        }
        if (schema.has("anyOf")) {
            List<String> first = List.of();
            for (JsonNode each : schema.get("anyOf")) {
                List<String> faults = faults(each, value, place);
                if (faults.isEmpty()) {
                    return faults;
                }
                first = first.isEmpty() ? faults : first;
            }
            return first;
        }
        List<String> faults = new ArrayList<>();
        if (schema.has("type") && !isOf(schema.get("type"), value)) {
            faults.add(place + " is " + value + ", no " + schema.get("type"));
        }
        if (schema.has("enum") && schema.get("enum").valueStream().noneMatch(value::equals)) {
            faults.add(place + " is " + value + ", none of " + schema.get("enum"));
        }
        if (value.isArray()) {
            value.forEach(each -> faults.addAll(faults(schema.path("items"), each, place + "[]")));
        }
        if (value.isObject() && schema.has("type")) {
            fields(schema, value, place, faults);
        }
        return faults;
    }

    private void fields(JsonNode schema, JsonNode value, String place, List<String> faults) {
        schema.path("required").forEach(name -> {
            if (!value.has(name.asString())) {
                faults.add(place + "." + name.asString() + " is missing");
            }
        });
        value.properties().forEach(field -> {
            JsonNode own = schema.path("properties").path(field.getKey());
            JsonNode other = schema.path("additionalProperties");
            String at = place + "." + field.getKey();
            if (own.isObject() || other.isObject()) {
                faults.addAll(faults(own.isObject() ? own : other, field.getValue(), at));
            } else if (!other.asBoolean(false)) {
                faults.add(at + " is not listed");
            }
        });
    }

    private static boolean isOf(JsonNode types, JsonNode value) {
        if (types.isArray()) {
            return types.valueStream().anyMatch(each -> isOf(each, value));
        }
        return switch (types.asString()) {
            case "string" -> value.isString();
            case "integer" -> value.isIntegralNumber();
            case "number" -> value.isNumber();
            case "boolean" -> value.isBoolean();
            case "array" -> value.isArray();
            case "object" -> value.isObject();
            case "null" -> value.isNull();
            default -> false;
        };
    }
}
