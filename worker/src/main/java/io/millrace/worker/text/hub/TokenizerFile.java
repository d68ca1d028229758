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

    private static final int ID_MAX = 1 << 24;

    private final String path;
    private final ObjectNode root;
    private final Map<String, Integer> ids = new HashMap<>();
    private final Map<String, Integer> modelIds = new HashMap<>();
    private final Map<String, Integer> addedIds = new HashMap<>();
    private final byte[][] bytes;
    private final boolean[] control;
    private final boolean dropsFirstSpace;

    private TokenizerFile(String path, ObjectNode root) {
        this.path = path;
        this.root = root;
        readModel();
        int size = modelIds.values().stream().mapToInt(id -> id + 1).max().orElse(0);
        assignAdded();
        size = Math.max(
                size, addedIds.values().stream().mapToInt(id -> id + 1).max().orElse(0));
        bytes = new byte[size][];
        control = new boolean[size];
        List<JsonNode> decoders = flatten(root.path("decoder"), "decoders");
        boolean byteLevel =
                has(decoders, "ByteLevel") || has(flatten(root.path("pre_tokenizer"), "pretokenizers"), "ByteLevel");
        boolean pieces = has(decoders, "ByteFallback") || has(decoders, "Metaspace") || has(decoders, "Replace");
        Spelling spelling = new Spelling(
                byteLevel, pieces, root.path("model").path("end_of_word_suffix").asString(""));
        modelIds.forEach((token, id) -> {
            if (bytes[id] != null) {
                throw broken(path, "model.vocab has the id " + id + " twice, once for \"" + token + "\"");
            }
            bytes[id] = spelling.bytes(token);
        });
        ids.putAll(modelIds);
        readAdded(pieces && !byteLevel);
        dropsFirstSpace = decoders.stream().anyMatch(TokenizerFile::dropsSpace);
    }

    /** @throws MillraceException MR-TEXT-005 it is not what a tokenizer.json should be */
    static TokenizerFile of(String path, JsonNode root) {
        if (!(root instanceof ObjectNode object)) {
            throw broken(path, "it is not a JSON object");
        }
        return new TokenizerFile(path, object);
    }

    /** How a token of the model's vocabulary is written. */
    private record Spelling(ByteAlphabet alphabet, boolean byteLevel, boolean pieces, String endOfWord) {
        Spelling(boolean byteLevel, boolean pieces, String endOfWord) {
            this(new ByteAlphabet(), byteLevel, pieces, endOfWord);
        }

        byte[] bytes(String token) {
            String text = !endOfWord.isEmpty() && token.endsWith(endOfWord)
                    ? token.substring(0, token.length() - endOfWord.length()) + " "
                    : token;
            if (byteLevel) {
                return alphabet.bytes(text);
            }
            return pieces ? PieceBytes.of(text) : text.getBytes(StandardCharsets.UTF_8);
        }
    }

    /**
     * As the library counts, whatever id the file says: a token of the model keeps its id, another one gets the next that is
     * free.
     */
    private void assignAdded() {
        int next = modelIds.size();
        for (JsonNode added : root.path("added_tokens")) {
            JsonNode said = added.path("id");
            String content = added.path("content").asString("");
            if (!said.isInt() || said.intValue() < 0 || said.intValue() > ID_MAX) {
                throw broken(path, "added_tokens gives \"" + content + "\" the id " + said);
            }
            if (!content.isEmpty() && !addedIds.containsKey(content)) {
                Integer own = modelIds.get(content);
                int id = own == null ? next : own;
                addedIds.put(content, id);
                next = Math.max(next, id + 1);
            }
        }
    }

    /**
     * The added tokens.
     *
     * @param pieces a token that is no control token has U+2581 for a space, as Gemma's runs of spaces
     */
    private void readAdded(boolean pieces) {
        String prefix = prepended();
        for (JsonNode added : root.path("added_tokens")) {
            String content = added.path("content").asString("");
            Integer id = addedIds.get(content);
            if (id == null) {
                continue;
            }
            boolean special = added.path("special").asBoolean(false);
            // One that is found in the normalized text has the normalizer's space before it.
            String text = added.path("normalized").asBoolean(true) ? prefix + content : content;
            bytes[id] = (pieces && !special ? text.replace('\u2581', ' ') : text).getBytes(StandardCharsets.UTF_8);
            control[id] = special;
        }
        ids.putAll(addedIds);
    }

    private String prepended() {
        for (JsonNode normalizer : flatten(root.path("normalizer"), "normalizers")) {
            if (normalizer.path("type").asString("").equals("Prepend")) {
                return normalizer.path("prepend").asString("").replace('\u2581', ' ');
            }
        }
        return "";
    }

    private void readModel() {
        JsonNode vocabulary = root.path("model").path("vocab");
        if (vocabulary.isObject()) {
            vocabulary.properties().forEach(entry -> putModel(entry.getKey(), entry.getValue()));
        } else {
            for (int i = 0; i < vocabulary.size(); i++) {
                String token = vocabulary.path(i).path(0).asString("");
                Integer before = modelIds.putIfAbsent(token, i);
                if (before != null) {
                    throw broken(path, "model.vocab has \"" + token + "\" twice, as " + before + " and as " + i);
                }
            }
        }
        if (modelIds.isEmpty()) {
            throw broken(path, "model.vocab is missing or empty");
        }
    }

    private void putModel(String token, JsonNode id) {
        if (!id.isInt() || id.intValue() < 0 || id.intValue() > ID_MAX) {
            throw broken(path, "model.vocab gives \"" + token + "\" the id " + id);
        }
        modelIds.put(token, id.intValue());
    }

    static MillraceException broken(String path, String what) {
        return new MillraceException("MR-TEXT-005", path + " cannot be used: " + what + ". Download the model again.");
    }

    ObjectNode root() {
        return root;
    }

    /** Of the model's own tokens; some may be added tokens too. */
    Map<String, Integer> modelIds() {
        return modelIds;
    }

    String path() {
        return path;
    }

    static List<JsonNode> flatten(JsonNode node, String children) {
        List<JsonNode> flat = new ArrayList<>();
        flat.add(node);
        for (JsonNode child : node.path(children)) {
            flat.addAll(flatten(child, children));
        }
        return flat;
    }

    static boolean has(List<JsonNode> nodes, String type) {
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
        ArrayNode pieces = copy.path("model").path("vocab") instanceof ArrayNode array ? array : null;
        for (JsonNode added : root.path("added_tokens")) {
            String content = added.path("content").asString("");
            Integer own = modelIds.get(content);
            if (!added.path("special").asBoolean(false)) {
                kept.add(added.deepCopy());
            } else if (own == null) {
                ObjectNode renamed = (ObjectNode) added.deepCopy();
                renamed.put("content", unguessable + "-" + kept.size());
                kept.add(renamed);
            } else if (pieces != null && pieces.path(own) instanceof ArrayNode piece) {
                // A unigram model finds its pieces in the text itself.
                piece.set(0, unguessable + "-" + own);
            }
        }
        copy.set("added_tokens", kept);
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
