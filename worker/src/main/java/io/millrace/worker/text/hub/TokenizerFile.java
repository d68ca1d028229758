package io.millrace.worker.text.hub;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.ByteAlphabet;
import io.millrace.worker.text.PieceBytes;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** What we read ourselves in a {@code tokenizer.json}: the bytes of each token, and which tokens are control tokens. */
final class TokenizerFile {

    private final ObjectNode root;
    private final Map<String, Integer> ids = new HashMap<>();
    private final Map<String, Integer> modelIds = new HashMap<>();
    private final byte[][] bytes;
    private final boolean[] control;
    private final boolean dropsFirstSpace;

    TokenizerFile(ObjectNode root) {
        this.root = root;
        readModel();
        int size = modelIds.values().stream().mapToInt(id -> id + 1).max().orElse(0);
        for (JsonNode added : root.path("added_tokens")) {
            size = Math.max(size, id(added) + 1);
        }
        bytes = new byte[size][];
        control = new boolean[size];
        List<JsonNode> decoders = flatten(root.path("decoder"), "decoders");
        boolean byteLevel =
                has(decoders, "ByteLevel") || has(flatten(root.path("pre_tokenizer"), "pretokenizers"), "ByteLevel");
        boolean pieces = has(decoders, "ByteFallback") || has(decoders, "Metaspace") || has(decoders, "Replace");
        ByteAlphabet alphabet = new ByteAlphabet();
        modelIds.forEach((token, id) -> {
            if (byteLevel) {
                bytes[id] = alphabet.bytes(token);
            } else {
                bytes[id] = pieces ? PieceBytes.of(token) : token.getBytes(StandardCharsets.UTF_8);
            }
        });
        ids.putAll(modelIds);
        for (JsonNode added : root.path("added_tokens")) {
            String content = added.path("content").asString("");
            bytes[id(added)] = content.getBytes(StandardCharsets.UTF_8);
            control[id(added)] = added.path("special").asBoolean(false);
            ids.put(content, id(added));
        }
        dropsFirstSpace = decoders.stream().anyMatch(TokenizerFile::dropsSpace);
    }

    private void readModel() {
        JsonNode vocabulary = root.path("model").path("vocab");
        if (vocabulary.isObject()) {
            vocabulary.properties().forEach(entry -> putModel(entry.getKey(), entry.getValue()));
        } else {
            for (int i = 0; i < vocabulary.size(); i++) {
                modelIds.putIfAbsent(vocabulary.path(i).path(0).asString(""), i);
            }
        }
        if (modelIds.isEmpty()) {
            throw broken("model.vocab is missing or empty");
        }
    }

    private void putModel(String token, JsonNode id) {
        if (!id.isInt() || id.intValue() < 0 || id.intValue() > 1 << 24) {
            throw broken("the id of \"" + token + "\" is " + id);
        }
        modelIds.put(token, id.intValue());
    }

    private static int id(JsonNode added) {
        JsonNode id = added.path("id");
        if (!id.isInt() || id.intValue() < 0 || id.intValue() > 1 << 24) {
            throw broken("an added token's id is " + id);
        }
        return id.intValue();
    }

    static MillraceException broken(String what) {
        return new MillraceException(
                "MR-TEXT-005", "tokenizer.json cannot be used: " + what + ". Download the model again.");
    }

    private static List<JsonNode> flatten(JsonNode node, String children) {
        List<JsonNode> flat = new ArrayList<>();
        flat.add(node);
        for (JsonNode child : node.path(children)) {
            flat.addAll(flatten(child, children));
        }
        return flat;
    }

    private static boolean has(List<JsonNode> nodes, String type) {
        return nodes.stream().anyMatch(node -> node.path("type").asString("").equals(type));
    }

    private static boolean dropsSpace(JsonNode decoder) {
        return switch (decoder.path("type").asString("")) {
            case "Strip" ->
                decoder.path("content").asString("").equals(" ")
                        && decoder.path("start").asInt(0) > 0;
            case "Metaspace" ->
                !decoder.path("prepend_scheme").asString("always").equals("never")
                        && decoder.path("add_prefix_space").asBoolean(true);
            default -> false;
        };
    }

    /**
     * The same file for text in which control tokens are ordinary text: those of the model's own vocabulary are no longer added
     * tokens; the others, whose ids follow from their places in the list, get contents that no text has.
     */
    String withoutControlTokens(JsonMapper mapper) {
        ObjectNode copy = root.deepCopy();
        String unguessable = UUID.randomUUID().toString();
        ArrayNode kept = mapper.createArrayNode();
        for (JsonNode added : root.path("added_tokens")) {
            boolean special = added.path("special").asBoolean(false);
            if (!special) {
                kept.add(added.deepCopy());
            } else if (!modelIds.containsKey(added.path("content").asString(""))) {
                ObjectNode renamed = (ObjectNode) added.deepCopy();
                renamed.put("content", unguessable + "-" + id(added));
                kept.add(renamed);
            }
        }
        copy.set("added_tokens", kept);
        if (copy.path("model").path("vocab") instanceof ArrayNode pieces) {
            // A unigram model finds its pieces in the text itself.
            for (JsonNode added : root.path("added_tokens")) {
                if (added.path("special").asBoolean(false) && pieces.path(id(added)) instanceof ArrayNode piece) {
                    piece.set(0, unguessable + "-" + id(added));
                }
            }
        }
        copy.putNull("post_processor");
        return mapper.writeValueAsString(copy);
    }

    int size() {
        return bytes.length;
    }

    byte[] bytes(int id) {
        return id >= 0 && id < bytes.length && bytes[id] != null ? bytes[id].clone() : new byte[0];
    }

    boolean isControl(int id) {
        return id >= 0 && id < control.length && control[id];
    }

    int id(String token) {
        return ids.getOrDefault(token, -1);
    }

    boolean dropsFirstSpace() {
        return dropsFirstSpace;
    }
}
