package io.millrace.worker.serving;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ToolUse;
import io.millrace.worker.text.Golden;
import io.millrace.worker.text.jinja.ChatTemplate;
import java.io.IOException;
import java.nio.file.Files;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Tools in real chat templates, and in those that know none. */
class TemplateToolsTest {

    private static final String TOOLS =
            "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":\"The weather\",\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"A city\"}},\"required\":[\"city\"]}}}]";
    private static final String MESSAGES =
            "[{\"role\":\"user\",\"content\":\"Weather?\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"call_0123456789\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"arguments\":\"{\\\"city\\\": \\\"Paris\\\"}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"call_0123456789\",\"content\":\"18 degrees\"}]";

    private static final Map<String, String> TOKENS = Map.of("bos_token", "<s>", "eos_token", "</s>");

    private static String source(String name) throws IOException {
        return Files.readString(Golden.path("templates/src/" + name + ".jinja"));
    }

    private static String render(String template, ToolFormat format) {
        ChatInput chat = ChatInput.newBuilder()
                .setMessagesJson(MESSAGES)
                .setToolsJson(TOOLS)
                .setAddGenerationPrompt(true)
                .setToolUse(ToolUse.newBuilder().setFormat(format.text()).addFunctions("get_weather"))
                .build();
        return new TemplateRenderer(template, TOKENS).render(chat, 1_700_000_000_000L);
    }

    @ParameterizedTest
    @CsvSource({
        "Qwen-Qwen2.5-7B-Instruct, HERMES",
        "Qwen-Qwen3-0.6B, HERMES",
        "Qwen-QwQ-32B, HERMES",
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use, HERMES",
        "NousResearch-Hermes-3-Llama-3.1-8B-tool_use, HERMES",
        "meta-llama-Llama-3.1-8B-Instruct, LLAMA3_JSON",
        "meta-llama-Llama-3.2-3B-Instruct, LLAMA3_JSON",
        "meta-llama-Llama-3.3-70B-Instruct, LLAMA3_JSON",
        "mistralai-Mistral-Nemo-Instruct-2407, MISTRAL",
        "Mistral-Small-3.2-24B-Instruct-2506, MISTRAL_ARGS",
        "unsloth-mistral-Devstral-Small-2507, MISTRAL_ARGS",
        "HuggingFaceTB-SmolLM2-135M-Instruct, GENERIC",
        "google-gemma-2-2b-it, GENERIC",
        "microsoft-Phi-3.5-mini-instruct, GENERIC",
        "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B, GENERIC",
        "Qwen3-Coder, GENERIC",
        "GLM-4.6, GENERIC",
        "meetkai-functionary-medium-v3.1, GENERIC",
        "ibm-granite-granite-3.3-2B-Instruct, GENERIC",
    })
    void theFormatIsThatOfTheTemplate(String name, ToolFormat format) throws IOException {
        String source = source(name);
        assertThat(OutputFormats.tools(source)).isEqualTo(format);
        String text = render(source, format);
        assertThat(text).contains("get_weather", "The weather", "A city", "Weather?", "Paris", "18 degrees");
        assertThat(text).doesNotContain("None", "\\\"city\\\"");
        assertThat(text.contains("You may call these functions")).isEqualTo(format == ToolFormat.GENERIC);
    }

    @Test
    void severalCallsAreMessagesOfTheirOwnWhereATemplateTakesOne() throws IOException {
        String second =
                ",{\"id\":\"second\",\"type\":\"function\",\"function\":{\"name\":\"get_time\",\"arguments\":\"{}\"}}]}";
        String two = MESSAGES.replace("]},{\"role\":\"tool\"", second + ",{\"role\":\"tool\"");
        String messages = two.substring(0, two.length() - 1)
                + ",{\"role\":\"tool\",\"tool_call_id\":\"second\",\"content\":\"noon\"}]";
        String source = source("meta-llama-Llama-3.1-8B-Instruct");
        ChatTemplate llama = ChatTemplate.compile(source, TOKENS);
        assertThat(TemplateTraits.of(llama).several()).isFalse();
        ChatInput chat = ChatInput.newBuilder()
                .setMessagesJson(messages)
                .setToolsJson(TOOLS)
                .setToolUse(ToolUse.newBuilder().setFormat("llama3_json"))
                .build();
        assertThat(new TemplateRenderer(source, TOKENS).render(chat, 0))
                .containsSubsequence("Weather?", "Paris", "18 degrees", "get_time", "noon");
        ChatTemplate qwen = ChatTemplate.compile(source("Qwen-Qwen2.5-7B-Instruct"), Map.of());
        assertThat(TemplateTraits.of(qwen).several()).isTrue();
    }

    @Test
    void aTemplateWithoutToolsGetsThemAsText() throws IOException {
        String text = render(
                "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}[assistant]", ToolFormat.GENERIC);
        assertThat(text).startsWith("[system]You may call these functions:\n{\"name\":\"get_weather\"");
        assertThat(text)
                .endsWith("[user]Weather?[assistant]{\"name\":\"get_weather\",\"arguments\":{\"city\":\"Paris\"}}"
                        + "[user]Result of get_weather:\n18 degrees[assistant]");
    }

    @Test
    void resultsAndWhatFollowsAreOneTurn() {
        String more = MESSAGES.substring(0, MESSAGES.length() - 1) + ",{\"role\":\"user\",\"content\":\"Thanks\"}]";
        JsonNode plain = JsonMapper.shared().readTree(ToolMessages.asText(more, "", false, true));
        assertThat(plain).hasSize(3);
        assertThat(plain.path(2).path("content").stringValue()).isEqualTo("Result of get_weather:\n18 degrees\nThanks");
    }

    @Test
    void instructionsGoWhereATemplateTakesThem() {
        String user = "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"Hi\"}]}]";
        JsonNode with = JsonMapper.shared().readTree(ToolMessages.asText(user, TOOLS, false, true));
        JsonNode without = JsonMapper.shared().readTree(ToolMessages.asText(user, TOOLS, true, false));
        assertThat(with).hasSize(2);
        assertThat(without).hasSize(1);
        assertThat(without.path(0).path("content").stringValue())
                .startsWith("You may call")
                .endsWith("\n\nHi")
                .doesNotContain("several");
    }
}
