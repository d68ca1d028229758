package io.millrace.worker.text.hub;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashSet;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** BOS and EOS of a model folder: tokenizer_config.json, special_tokens_map.json, generation_config.json, config.json. */
final class ModelFolder {

    private final Path folder;
    private final JsonMapper mapper;

    ModelFolder(Path folder, JsonMapper mapper) {
        this.folder = folder;
        this.mapper = mapper;
    }

    /** -1 when the model has none. */
    int bos(TokenizerFile file) {
        String text = token("bos_token");
        if (text != null && file.id(text) >= 0) {
            return file.id(text);
        }
        for (String name : new String[] {"generation_config.json", "config.json"}) {
            JsonNode id = read(name).path("bos_token_id");
            if (id.isInt()) {
                return id.intValue();
            }
        }
        return -1;
    }

    /** Every id that one of the files says. */
    int[] eos(TokenizerFile file) {
        Set<Integer> ids = new LinkedHashSet<>();
        String text = token("eos_token");
        if (text != null && file.id(text) >= 0) {
            ids.add(file.id(text));
        }
        for (String name : new String[] {"generation_config.json", "config.json"}) {
            JsonNode id = read(name).path("eos_token_id");
            if (id.isInt()) {
                ids.add(id.intValue());
            }
            for (JsonNode one : id) {
                if (one.isInt()) {
                    ids.add(one.intValue());
                }
            }
        }
        return ids.stream().mapToInt(Integer::intValue).toArray();
    }

    private @Nullable String token(String field) {
        for (String name : new String[] {"tokenizer_config.json", "special_tokens_map.json"}) {
            JsonNode token = read(name).path(field);
            JsonNode text = token.isObject() ? token.path("content") : token;
            if (text.isString()) {
                return text.stringValue();
            }
        }
        return null;
    }

    private JsonNode read(String name) {
        Path file = folder.resolve(name);
        try {
            return Files.isRegularFile(file) ? mapper.readTree(Files.readAllBytes(file)) : mapper.createObjectNode();
        } catch (IOException | JacksonException e) {
            throw TokenizerFile.broken(name + " beside it cannot be read: " + e.getMessage());
        }
    }
}
