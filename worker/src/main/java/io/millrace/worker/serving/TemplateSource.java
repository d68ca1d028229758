package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The Jinja texts of a model's chat templates, and the tokens that they may write.
 *
 * @param named by name; {@code default} and {@code tool_use} are those that requests get; empty: the model has none
 * @param tokens texts by variable, such as {@code bos_token}, as the tokenizer's configuration writes them; an empty one does not exist, one
 *     that is not there is that of the tokenizer's id
 */
record TemplateSource(Map<String, String> named, Map<String, String> tokens) {

    private static final String DEFAULT = "default";
    private static final String TOOL_USE = "tool_use";
    private static final String IN_GGUF = "tokenizer.chat_template";
    private static final List<String> TOKENS =
            List.of("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token");

    /** For conversations; null: the model has none that is meant for all. */
    @Nullable
    String chat() {
        return named.get(DEFAULT);
    }

    /** For conversations with tools; null: the same. */
    @Nullable
    String tools() {
        return named.get(TOOL_USE);
    }

    /** From the metadata of a GGUF file. */
    static TemplateSource ofGguf(Map<String, Object> metadata) {
        Map<String, String> named = new TreeMap<>();
        metadata.forEach((key, value) -> {
            if (key.startsWith(IN_GGUF) && value instanceof String text && !text.isBlank()) {
                String rest = key.substring(IN_GGUF.length());
                if (rest.isEmpty()) {
                    named.put(DEFAULT, text);
                } else if (rest.startsWith(".")) {
                    named.put(rest.substring(1), text);
                }
            }
        });
        return new TemplateSource(named, Map.of());
    }

    /**
     * From {@code chat_template.jinja} and the folder {@code additional_chat_templates}, else {@code chat_template.json}, else
     * {@code tokenizer_config.json}.
     */
    static TemplateSource ofFolder(Path folder) {
        Map<String, String> tokens = tokens(folder);
        Map<String, String> named = new TreeMap<>();
        additional(folder.resolve("additional_chat_templates"), named);
        Path jinja = folder.resolve("chat_template.jinja");
        if (Files.isRegularFile(jinja)) {
            named.put(DEFAULT, ModelFiles.text(jinja));
        }
        for (String name : new String[] {"chat_template.json", "tokenizer_config.json"}) {
            if (named.isEmpty()) {
                templates(json(folder.resolve(name)).path("chat_template"), named);
            }
        }
        return new TemplateSource(named, tokens);
    }

    private static void additional(Path folder, Map<String, String> named) {
        if (!Files.isDirectory(folder)) {
            return;
        }
        try (Stream<Path> files = Files.list(folder)) {
            files.filter(file -> file.toString().endsWith(".jinja")).sorted().forEach(file -> {
                String name = file.getFileName().toString();
                named.put(name.substring(0, name.length() - ".jinja".length()), ModelFiles.text(file));
            });
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-SERVE-005", folder + " cannot be listed: " + e + ". Fetch the model again, whole.", e);
        }
    }

    private static void templates(JsonNode template, Map<String, String> named) {
        if (template.isString() && !template.stringValue().isBlank()) {
            named.put(DEFAULT, template.stringValue());
        } else if (template.isArray()) {
            for (JsonNode one : template) {
                named.put(one.path("name").asString(""), one.path("template").asString(""));
            }
        } else if (template.isObject()) {
            template.properties()
                    .forEach(one -> named.put(one.getKey(), one.getValue().asString("")));
        }
    }

    private static Map<String, String> tokens(Path folder) {
        Map<String, String> tokens = new TreeMap<>();
        for (String file : new String[] {"special_tokens_map.json", "tokenizer_config.json"}) {
            JsonNode config = json(folder.resolve(file));
            for (String name : TOKENS) {
                JsonNode token = config.path(name);
                JsonNode text = token.isObject() ? token.path("content") : token;
                if (text.isString() || text.isNull()) {
                    tokens.put(name, text.asString(""));
                }
            }
        }
        return tokens;
    }

    private static JsonNode json(Path file) {
        if (!Files.isRegularFile(file)) {
            return JsonMapper.shared().createObjectNode();
        }
        try {
            return JsonMapper.shared().readTree(ModelFiles.text(file));
        } catch (JacksonException e) {
            throw new MillraceException(
                    "MR-SERVE-005",
                    file + " is not JSON: " + e.getOriginalMessage() + ". Fetch the model again, whole.",
                    e);
        }
    }
}
