package io.millrace.worker.serving;

import io.millrace.worker.text.jinja.ChatInput;
import io.millrace.worker.text.jinja.ChatTemplate;
import io.millrace.worker.text.jinja.TemplateException;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * The form in which a chat template takes messages, found by rendering two small chats; puts messages into it.
 *
 * @param texts a content that is a string is written (false, too, where the template renders neither chat)
 * @param parts a content that is a list of text parts is written, part by part
 * @param developer the template names that role
 */
record TemplateForm(boolean texts, boolean parts, boolean developer) {

    private static final String PROBE = "q7Zk";
    private static final LocalDateTime SOME_DAY = LocalDateTime.of(2025, 1, 1, 0, 0);
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.USE_BIG_INTEGER_FOR_INTS)
            .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
            .build();

    /** The form of a template with that source. */
    static TemplateForm of(ChatTemplate template, String source) {
        String text = probe(template, "\"" + PROBE + "\"");
        String part = probe(template, "[{\"type\":\"text\",\"text\":\"" + PROBE + "\"}]");
        // A list that is printed whole shows the name of its field.
        boolean parts = part != null && part.contains(PROBE) && !part.matches("(?s).*['\"]text['\"]\\s*:.*");
        return new TemplateForm(text != null && text.contains(PROBE), parts, source.contains("developer"));
    }

    private static @Nullable String probe(ChatTemplate template, String content) {
        try {
            return template.render(ChatInput.of("[{\"role\":\"user\",\"content\":" + content + "}]", SOME_DAY));
        } catch (TemplateException e) {
            return null;
        }
    }

    /** The messages, unchanged where they have the form already: parts joined by line breaks, a developer as the system. */
    String adapt(String messagesJson) {
        JsonNode root;
        try {
            root = JSON.readTree(messagesJson);
        } catch (JacksonException e) {
            return messagesJson;
        }
        boolean changed = false;
        if (root.isArray()) {
            for (JsonNode message : root) {
                changed |= message instanceof ObjectNode object && adapt(object);
            }
        }
        return changed ? JSON.writeValueAsString(root) : messagesJson;
    }

    private boolean adapt(ObjectNode message) {
        boolean changed = false;
        if (!developer && "developer".equals(message.path("role").asString(""))) {
            message.put("role", "system");
            changed = true;
        }
        JsonNode content = message.get("content");
        if (content instanceof ArrayNode list) {
            if (!parts) {
                message.put("content", joined(list));
                return true;
            }
            return named(list) || changed;
        }
        if (content != null && content.isString() && parts && !texts) {
            String text = content.stringValue();
            message.putArray("content").addObject().put("type", "text").put("text", text);
            return true;
        }
        return changed;
    }

    private static String joined(ArrayNode parts) {
        List<String> texts = new ArrayList<>();
        parts.forEach(part -> texts.add(text(part)));
        return String.join("\n", texts);
    }

    private static String text(JsonNode part) {
        return part.path("text").asString(part.path("refusal").asString(""));
    }

    /** Names every part's type as templates look for it; whether one had another name. */
    private static boolean named(ArrayNode parts) {
        boolean changed = false;
        for (JsonNode part : parts) {
            if (part instanceof ObjectNode object
                    && !"text".equals(part.path("type").asString(""))) {
                String text = text(part);
                object.removeAll();
                object.put("type", "text").put("text", text);
                changed = true;
            }
        }
        return changed;
    }
}
