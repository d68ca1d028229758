package io.millrace.standalone.fuzz;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BiFunction;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** Bodies as their schemas have them, and what becomes of these when a field, a character or a byte is wrong. Thread-safe. */
final class JsonBodies {

    private static final JsonMapper JSON = new JsonMapper();
    private static final Set<String> LENGTHS = Set.of("max_tokens", "max_completion_tokens", "max_output_tokens");
    private static final List<String> TEXTS = List.of(
            "Hello",
            "",
            " ",
            "a",
            "wörld 🙂",
            "\u0000",
            "line\nline",
            "<|im_end|>",
            "{{ x }}",
            "x".repeat(3000),
            "\uFEFF");
    private static final int OPTIONAL_PERCENT = 7;
    private static final int DEPTH = 6;

    private final ApiPage page;

    JsonBodies(ApiPage page) {
        this.page = page;
    }

    /** A body of that schema, which may still contradict itself. */
    ObjectNode body(JsonNode schema, Chance chance) {
        return (ObjectNode) value("", schema, chance, 0);
    }

    /** Something that is meant to be wrong in some way. */
    byte[] malformed(JsonNode schema, Chance chance) {
        ObjectNode body = body(schema, chance);
        int kind = chance.below(10);
        if (kind < 6) {
            for (int i = chance.below(2); i >= 0; i--) {
                mutate(body, chance);
            }
            return body.toString().getBytes(StandardCharsets.UTF_8);
        }
        String text = body.toString();
        return kind < 8 ? broken(text, chance).getBytes(StandardCharsets.UTF_8) : bytes(text, chance);
    }

    private JsonNode value(String name, JsonNode given, Chance chance, int depth) {
        JsonNode schema = page.resolved(given);
        for (String choice : List.of("oneOf", "anyOf")) {
            if (schema.has(choice)) {
                JsonNode all = schema.get(choice);
                return value(name, all.get(chance.below(all.size())), chance, depth);
            }
        }
        if (schema.has("enum")) {
            return schema.get("enum").get(chance.below(schema.get("enum").size()));
        }
        return switch (schema.path("type").asString("any")) {
            case "object" -> object(schema, chance, depth);
            case "array" -> {
                ArrayNode array = JSON.createArrayNode();
                for (int i = depth > DEPTH ? 0 : 1 + chance.below(2); i > 0; i--) {
                    array.add(value(name, schema.path("items"), chance, depth + 1));
                }
                yield array;
            }
            case "integer" -> JSON.getNodeFactory().numberNode(integer(name, schema, chance));
            case "number" -> JSON.getNodeFactory().numberNode(number(schema, chance));
            case "boolean" -> JSON.getNodeFactory().booleanNode(chance.percent(50));
            case "null" -> JSON.getNodeFactory().nullNode();
            case "string" -> JSON.getNodeFactory().stringNode(text(name, chance));
            default ->
                chance.percent(70)
                        ? JSON.getNodeFactory().stringNode(text(name, chance))
                        : JSON.createArrayNode().add(text(name, chance)).add("b");
        };
    }

    private ObjectNode object(JsonNode schema, Chance chance, int depth) {
        ObjectNode object = JSON.createObjectNode();
        for (Map.Entry<String, JsonNode> each : schema.path("properties").properties()) {
            String name = each.getKey();
            boolean wanted = LENGTHS.contains(name) && depth == 0;
            for (JsonNode required : schema.path("required")) {
                wanted |= required.asString().equals(name);
            }
            if (wanted || chance.percent(depth == 0 ? OPTIONAL_PERCENT : 40) && depth < DEPTH) {
                object.set(name, value(name, each.getValue(), chance, depth + 1));
            }
        }
        return object;
    }

    private static long integer(String name, JsonNode schema, Chance chance) {
        if (LENGTHS.contains(name) || name.equals("n") || name.equals("best_of")) {
            return 1 + chance.below(4);
        }
        long least = schema.path("minimum").asLong(0);
        long most = Math.min(schema.path("maximum").asLong(100), least + 1000);
        return least + Math.floorMod(chance.number(), most - least + 1);
    }

    private static double number(JsonNode schema, Chance chance) {
        double least = schema.path("minimum").asDouble(0);
        double most = schema.path("maximum").asDouble(1);
        return least + (most - least) * chance.below(1001) / 1000;
    }

    private static String text(String name, Chance chance) {
        return switch (name) {
            case "model" -> chance.percent(94) ? "alpha" : chance.one("tiny", "nobody", "");
            case "role" -> "user";
            case "type" -> chance.one("text", "function", "message");
            case "completion_window" -> "24h";
            case "guided_regex", "regex" -> chance.one("[ab]{1,3}", "(", "a*b+", "\\d{2}");
            case "guided_grammar", "grammar" -> chance.one("root ::= \"a\" | \"b\"", "root ::= ", "x");
            default -> chance.of(TEXTS);
        };
    }

    /** Changes one value somewhere. */
    private static void mutate(ObjectNode body, Chance chance) {
        List<Runnable> places = new ArrayList<>();
        places(body, places, chance);
        if (places.isEmpty()) {
            body.set("model", junk(chance));
        } else {
            chance.of(places).run();
        }
    }

    private static void places(JsonNode node, List<Runnable> places, Chance chance) {
        if (node instanceof ObjectNode object) {
            for (String name : List.copyOf(object.propertyNames())) {
                places.add(() -> change(object, name, chance));
                places(object.get(name), places, chance);
            }
        } else if (node instanceof ArrayNode array) {
            for (int i = 0; i < array.size(); i++) {
                int index = i;
                places.add(() -> array.set(index, junk(chance)));
                places(array.get(i), places, chance);
            }
        }
    }

    private static void change(ObjectNode object, String name, Chance chance) {
        switch (chance.below(8)) {
            case 0 -> object.remove(name);
            case 1 -> object.set(name + "x", object.remove(name));
            case 2 -> object.set(name, JSON.createArrayNode().add(object.get(name)));
            case 3 -> object.set(name, JSON.createObjectNode().set(name, object.get(name)));
            default -> object.set(name, junk(chance));
        }
    }

    private static JsonNode junk(Chance chance) {
        String text = switch (chance.below(20)) {
            case 0 -> "null";
            case 1 -> "true";
            case 2 -> "-1";
            case 3 -> "0";
            case 4 -> "1e308";
            case 5 -> "-9223372036854775808";
            case 6 -> "9".repeat(400);
            case 7 -> "0.1e-400";
            case 8 -> "\"\"";
            case 9 -> "[]";
            case 10 -> "{}";
            case 11 -> "[".repeat(90) + "]".repeat(90);
            case 12 -> "[null,1,\"a\",{\"b\":[]}]";
            case 13 -> "\"" + "y".repeat(1 + chance.below(20_000)) + "\"";
            case 14 -> "\"\\u0000\\u001f\\ufffe\"";
            case 15 -> "2147483648";
            case 16 -> "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}}}";
            case 17 -> "[" + "1,".repeat(chance.below(3000)) + "1]";
            case 18 -> "0.5";
            default -> "\"true\"";
        };
        return JSON.readTree(text);
    }

    private static final List<BiFunction<String, Chance, String>> BREAKS = List.of(
            (text, chance) -> text.substring(0, chance.below(text.length())),
            (text, chance) ->
                    inserted(text, chance, chance.one("{", "}", "[", "\"", ",", ":", "\\", "\u0001", "é", "//", "'")),
            (text, chance) -> inserted(text, chance, "\\ud800"),
            (text, chance) -> "{\"model\":\"alpha\"," + text.substring(1),
            (text, chance) -> text.replaceFirst(":", ":" + "[".repeat(5000)),
            (text, chance) -> text.replaceFirst(":", ":" + "{\"a\":".repeat(150) + "1" + "}".repeat(150) + ",\"b\":"),
            (text, chance) -> text.replaceFirst(":[^,}]+", ":" + "8".repeat(20_000)),
            (text, chance) -> text.replaceFirst(
                    ":[^,}]+", ":" + chance.one("NaN", "1e999", "01", "+1", ".5", "0x1", "1e", "tru")),
            (text, chance) -> text + chance.one("x", "{}", "]", ",", "\u0000"),
            (text, chance) -> chance.one("", " ", "null", "1", "\"x\"", "[]", "[" + text + "]", "{}", "{\"\":1}"),
            (text, chance) -> text.replace("\"", "'"),
            (text, chance) -> text.replaceFirst("\"model\"", "\"\\ud83d\""));

    private static String broken(String text, Chance chance) {
        return chance.of(BREAKS).apply(text, chance);
    }

    private static String inserted(String text, Chance chance, String what) {
        int at = chance.below(text.length());
        return text.substring(0, at) + what + text.substring(at);
    }

    private static byte[] bytes(String text, Chance chance) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        switch (chance.below(6)) {
            case 0 -> bytes[chance.below(bytes.length)] = (byte) chance.below(256);
            case 1 -> {
                byte[] wrong = chance.one(
                        new byte[] {(byte) 0xc0, (byte) 0x80},
                        new byte[] {(byte) 0xff},
                        new byte[] {(byte) 0xed, (byte) 0xa0, (byte) 0x80},
                        new byte[] {(byte) 0xf4, (byte) 0x90, (byte) 0x80, (byte) 0x80},
                        new byte[] {(byte) 0xe2, (byte) 0x82});
                System.arraycopy(wrong, 0, bytes, chance.below(bytes.length - wrong.length), wrong.length);
            }
            case 2 -> bytes = text.getBytes(StandardCharsets.UTF_16);
            case 3 -> bytes = ("\uFEFF" + text).getBytes(StandardCharsets.UTF_8);
            case 4 -> bytes = chance.bytes(1 + chance.below(300));
            default -> bytes = Arrays.copyOf(bytes, bytes.length - 1 - chance.below(Math.min(20, bytes.length - 1)));
        }
        return bytes;
    }
}
