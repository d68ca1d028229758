package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The Jinja texts of a model's chat templates.
 *
 * @param chat for conversations; null: the model has none
 * @param tools for conversations with tools; null: the same
 */
record TemplateSource(@Nullable String chat, @Nullable String tools) {

    private static final TemplateSource NONE = new TemplateSource(null, null);

    /** From the metadata of a GGUF file. */
    static TemplateSource ofGguf(Map<String, Object> metadata) {
        return new TemplateSource(
                text(metadata.get("tokenizer.chat_template")), text(metadata.get("tokenizer.chat_template.tool_use")));
    }

    private static @Nullable String text(@Nullable Object value) {
        return value instanceof String s && !s.isBlank() ? s : null;
    }

    /** From {@code chat_template.jinja}, else {@code chat_template.json}, else {@code tokenizer_config.json}. */
    static TemplateSource ofFolder(Path folder) {
        Path jinja = folder.resolve("chat_template.jinja");
        if (Files.isRegularFile(jinja)) {
            return new TemplateSource(ModelFiles.text(jinja), null);
        }
        for (String name : new String[] {"chat_template.json", "tokenizer_config.json"}) {
            Path file = folder.resolve(name);
            if (Files.isRegularFile(file)) {
                TemplateSource found = ofJson(file);
                if (found.chat != null) {
                    return found;
                }
            }
        }
        return NONE;
    }

    private static TemplateSource ofJson(Path file) {
        JsonNode template;
        try {
            template = JsonMapper.shared().readTree(ModelFiles.text(file)).path("chat_template");
        } catch (JacksonException e) {
            throw new MillraceException(
                    "MR-SERVE-005",
                    file + " is not JSON: " + e.getOriginalMessage() + ". Fetch the model again, whole.",
                    e);
        }
        if (template.isString()) {
            return new TemplateSource(template.asString(), null);
        }
        String chat = null;
        String tools = null;
        for (JsonNode named : template.isArray() ? template.values() : java.util.List.<JsonNode>of()) {
            String text = named.path("template").asString("");
            switch (named.path("name").asString("")) {
                case "default" -> chat = text;
                case "tool_use" -> tools = text;
                default -> {}
            }
        }
        return new TemplateSource(chat, tools);
    }
}
