package io.millrace.worker.text.hub;

import io.millrace.worker.text.vocab.Vocabulary.AddedRule;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.function.ToIntFunction;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * What the files beside a tokenizer say of it: tokenizer_config.json, special_tokens_map.json, added_tokens.json,
 * generation_config.json, config.json. Immutable.
 */
final class ModelFolder {

    private static final List<String> SPECIAL =
            List.of("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token", "mask_token");

    /**
     * A token on top of the model's own vocabulary, or one of it with a special meaning.
     *
     * @param id -1: not said
     */
    record Added(int id, String text, boolean special, AddedRule rule) {}

    private final Path folder;
    private final JsonNode tokenizerConfig;
    private final JsonNode specialTokens;
    private final JsonNode generationConfig;
    private final JsonNode config;

    ModelFolder(Path folder) {
        this.folder = folder;
        this.tokenizerConfig = read("tokenizer_config.json");
        this.specialTokens = read("special_tokens_map.json");
        this.generationConfig = read("generation_config.json");
        this.config = read("config.json");
    }

    /** -1 when the model has none. */
    int bos(ToIntFunction<String> ids) {
        String text = token("bos_token");
        int said = text == null ? -1 : ids.applyAsInt(text);
        return said >= 0 ? said : configuredId("bos_token_id");
    }

    /** Every id that one of the files says. */
    int[] eos(ToIntFunction<String> ids) {
        Set<Integer> found = new LinkedHashSet<>();
        String text = token("eos_token");
        if (text != null && ids.applyAsInt(text) >= 0) {
            found.add(ids.applyAsInt(text));
        }
        for (JsonNode file : List.of(generationConfig, config)) {
            JsonNode id = file.path("eos_token_id");
            if (id.isInt()) {
                found.add(id.intValue());
            }
            for (JsonNode one : id) {
                if (one.isInt()) {
                    found.add(one.intValue());
                }
            }
        }
        return found.stream().mapToInt(Integer::intValue).toArray();
    }

    /** An id in the model's configuration; -1: none. */
    int configuredId(String field) {
        for (JsonNode file : List.of(generationConfig, config)) {
            if (file.path(field).isInt()) {
                return file.path(field).intValue();
            }
        }
        return -1;
    }

    /** Text of a special token, such as {@code bos_token}; null: not said. */
    @Nullable
    String token(String field) {
        for (JsonNode file : List.of(tokenizerConfig, specialTokens)) {
            String text = text(file.path(field));
            if (text != null) {
                return text;
            }
        }
        return null;
    }

    private static @Nullable String text(JsonNode token) {
        JsonNode text = token.isObject() ? token.path("content") : token;
        return text.isString() && !text.stringValue().isEmpty() ? text.stringValue() : null;
    }

    /** Of tokenizer_config.json; null: not said. */
    @Nullable
    Boolean flag(String field) {
        JsonNode flag = tokenizerConfig.path(field);
        return flag.isBoolean() ? flag.booleanValue() : null;
    }

    /**
     * Whether a token goes around texts: as the tokenizer's own file says where the configuration is silent, else as the flag says,
     * which counts only for a token that the configuration names.
     */
    boolean adds(boolean byFile, String field, ToIntFunction<String> ids) {
        if (!saysWhatToAdd()) {
            return byFile;
        }
        String text = token(field);
        return Boolean.TRUE.equals(flag("add_" + field)) && text != null && ids.applyAsInt(text) >= 0;
    }

    /** As in transformers, either flag takes the place of the tokenizer's own rule. */
    boolean saysWhatToAdd() {
        return flag("add_bos_token") != null || flag("add_eos_token") != null;
    }

    static AddedRule rule(JsonNode token) {
        return new AddedRule(
                token.path("lstrip").asBoolean(false),
                token.path("rstrip").asBoolean(false),
                token.path("single_word").asBoolean(false));
    }

    /** Empty: not said. */
    String tokenizerClass() {
        return tokenizerConfig.path("tokenizer_class").asString("");
    }

    /** Empty: not said. */
    String modelType() {
        return config.path("model_type").asString("");
    }

    /** All tokens that the files name, in the order of their ids where those are said. */
    List<Added> added() {
        Set<String> special = new HashSet<>();
        for (JsonNode file : List.of(tokenizerConfig, specialTokens)) {
            SPECIAL.stream()
                    .map(name -> text(file.path(name)))
                    .filter(text -> text != null)
                    .forEach(special::add);
            for (JsonNode more : file.path("additional_special_tokens")) {
                String text = text(more);
                if (text != null) {
                    special.add(text);
                }
            }
        }
        List<Added> added = new ArrayList<>();
        read("added_tokens.json")
                .properties()
                .forEach(entry -> added.add(new Added(
                        id("added_tokens.json", entry.getKey(), entry.getValue()),
                        entry.getKey(),
                        special.contains(entry.getKey()),
                        new AddedRule(false, false, false))));
        tokenizerConfig.path("added_tokens_decoder").properties().forEach(entry -> {
            JsonNode token = entry.getValue();
            String text = token.path("content").asString("");
            added.add(new Added(
                    number(entry.getKey(), text),
                    text,
                    token.path("special").asBoolean(false) || special.contains(text),
                    rule(token)));
        });
        Set<String> known = new HashSet<>();
        added.forEach(token -> known.add(token.text()));
        special.stream()
                .filter(text -> !known.contains(text))
                .sorted()
                .forEach(text -> added.add(new Added(-1, text, true, new AddedRule(false, false, false))));
        return added;
    }

    private int number(String key, String text) {
        try {
            int id = Integer.parseInt(key);
            if (id >= 0) {
                return id;
            }
        } catch (NumberFormatException e) {
            // Refused below, with the others.
        }
        throw TokenizerFile.broken(
                folder.resolve("tokenizer_config.json").toString(),
                "added_tokens_decoder gives \"" + text + "\" the id \"" + key + "\"");
    }

    private int id(String file, String text, JsonNode id) {
        if (!id.isInt() || id.intValue() < 0) {
            throw TokenizerFile.broken(folder.resolve(file).toString(), "the id of \"" + text + "\" is " + id);
        }
        return id.intValue();
    }

    private JsonNode read(String name) {
        Path file = folder.resolve(name);
        if (!Files.isRegularFile(file)) {
            return JsonMapper.shared().createObjectNode();
        }
        try {
            return JsonMapper.shared().readTree(FolderTokenizers.read(file));
        } catch (JacksonException e) {
            throw TokenizerFile.broken(file.toString(), "it is not JSON: " + e.getOriginalMessage());
        }
    }
}
