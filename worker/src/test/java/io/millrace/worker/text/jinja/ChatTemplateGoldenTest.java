package io.millrace.worker.text.jinja;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.text.Golden;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import tools.jackson.databind.JsonNode;

class ChatTemplateGoldenTest {

    /** Names of all template cases; one entry that skips where they are not beside the repository. */
    static List<String> templates() throws IOException {
        Path cases =
                Path.of("../../shared/golden/templates/cases").toAbsolutePath().normalize();
        if (!Files.isDirectory(cases)) {
            return List.of("other projects' templates");
        }
        try (Stream<Path> files = Files.list(cases)) {
            return files.map(file -> file.getFileName().toString().replace(".json", ""))
                    .sorted()
                    .toList();
        }
    }

    @ParameterizedTest
    @MethodSource("templates")
    void rendersAsTransformersDoes(String name) throws IOException {
        JsonNode golden = Golden.json("templates/cases/" + name + ".json");
        String source = Files.readString(
                Golden.path("templates/src/" + golden.get("template").stringValue()));
        Map<String, String> tokens = new HashMap<>();
        for (String token : List.of("bos_token", "eos_token")) {
            if (golden.get(token).isString()) {
                tokens.put(token, golden.get(token).stringValue());
            }
        }
        ChatTemplate template = ChatTemplate.compile(source, tokens);
        List<String> wrong = new ArrayList<>();
        for (JsonNode c : golden.get("cases")) {
            String problem = compare(template, c);
            if (problem != null) {
                wrong.add(c.get("name").stringValue() + ": " + problem);
            }
        }
        assertThat(golden.get("cases")).hasSizeGreaterThan(20);
        assertThat(wrong).isEmpty();
    }

    private static @Nullable String compare(ChatTemplate template, JsonNode c) {
        ChatInput input = new ChatInput(
                c.get("messages").toString(),
                c.get("tools").isNull() ? null : c.get("tools").toString(),
                c.get("kwargs").toString(),
                c.get("add_generation_prompt").booleanValue(),
                c.path("continue_final_message").asBoolean(false),
                LocalDateTime.parse(c.get("now").stringValue()));
        String got;
        try {
            got = template.render(input);
        } catch (TemplateException e) {
            if (!c.has("error")) {
                return "failed: " + e;
            }
            JsonNode error = c.get("error");
            boolean raise = error.get("kind").stringValue().equals("raise");
            boolean same = !raise
                    || (e.kind() == TemplateException.Kind.RAISE
                            && error.get("message").stringValue().equals(e.getMessage()));
            return same ? null : "expected " + error + ", failed with " + e;
        }
        if (!c.has("expected")) {
            return "expected " + c.get("error") + ", got " + got;
        }
        return got.equals(c.get("expected").stringValue())
                ? null
                : "\n expected " + c.get("expected") + "\n got      " + Golden.JSON.writeValueAsString(got);
    }

    @Test
    void rendersTheDefaultModelsPromptsByteForByte() throws IOException {
        ChatTemplate template = ChatTemplate.compile(
                Files.readString(Golden.path("smollm2/chat_template.jinja")),
                Map.of("bos_token", "<|im_start|>", "eos_token", "<|im_end|>"));
        JsonNode cases = Golden.json("smollm2/greedy.json").get("cases");
        assertThat(cases).hasSize(12);
        for (JsonNode c : cases) {
            assertThat(template.render(ChatInput.of(c.get("messages").toString(), LocalDateTime.of(2026, 1, 2, 3, 4))))
                    .isEqualTo(c.get("prompt").stringValue());
        }
    }
}
