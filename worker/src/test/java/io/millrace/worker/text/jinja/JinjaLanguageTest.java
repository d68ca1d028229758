package io.millrace.worker.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.text.Golden;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

class JinjaLanguageTest {

    /** What Jinja2 3.1.6, set up as transformers does, gives for each case. */
    @Test
    void agreesWithJinjaOnTheLanguageCases() {
        List<String> wrong = new ArrayList<>();
        int right = 0;
        for (JsonNode c : Golden.json("templates/jinja-language.json").get("cases")) {
            String problem = compare(c);
            if (problem == null) {
                right++;
            } else {
                wrong.add(c.get("name").stringValue() + ": " + problem);
            }
        }
        assertThat(wrong).isEmpty();
        assertThat(right).isEqualTo(221);
    }

    private static @org.jspecify.annotations.Nullable String compare(JsonNode c) {
        Map<String, Object> context = new LinkedHashMap<>();
        c.get("context").properties().forEach(entry -> context.put(entry.getKey(), Json.read(entry.getValue())));
        String got;
        try {
            got = ChatTemplate.compile(c.get("template").stringValue(), Map.of())
                    .render(context, LocalDateTime.parse(c.get("now").stringValue()));
        } catch (TemplateException e) {
            if (!c.has("error")) {
                return "failed: " + e;
            }
            JsonNode error = c.get("error");
            String kind = error.get("kind").stringValue().toUpperCase(java.util.Locale.ROOT);
            boolean sameMessage =
                    !kind.equals("RAISE") || error.get("message").stringValue().equals(e.getMessage());
            return e.kind().name().equals(kind) && sameMessage ? null : "expected " + error + ", failed with " + e;
        }
        return !c.has("expected")
                ? "expected " + c.get("error") + ", got " + got
                : got.equals(c.get("expected").stringValue())
                        ? null
                        : "\n expected " + c.get("expected") + "\n got      " + Golden.JSON.writeValueAsString(got);
    }
}
