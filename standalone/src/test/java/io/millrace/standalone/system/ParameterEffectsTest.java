package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.models.ReasoningEffort;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.completions.Completion;
import com.openai.models.completions.CompletionCreateParams;
import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** Parameters that change nothing, that are refused, and all of them by the official client. */
class ParameterEffectsTest extends ParameterEffects {

    @Test
    void namesForBookkeepingChangeNothingAndTheFingerprintIsTheNumerics() throws Exception {
        String noted =
                "\"user\":\"u\",\"safety_identifier\":\"s\",\"prompt_cache_key\":\"k\",\"prompt_cache_retention\":\"24h\","
                        + "\"metadata\":{\"a\":\"b\"},\"service_tier\":\"default\",\"verbosity\":\"low\",\"modalities\":[\"text\"]";
        JsonNode answer = answer(CHAT, noted);
        assertThat(content(answer.get("choices").get(0))).isEqualTo(chat(""));
        assertThat(answer.get("system_fingerprint").asString()).isNotBlank();
        assertThat(answer(TEXT, "").get("system_fingerprint")).isEqualTo(answer.get("system_fingerprint"));
    }

    @Test
    void whatIsNotDoneIsRefusedByItsName() throws Exception {
        for (String field : List.of(
                "\"audio\":{}",
                "\"web_search_options\":{}",
                "\"functions\":[]",
                "\"function_call\":\"auto\"",
                "\"chat_template\":\"x\"",
                "\"use_beam_search\":true",
                "\"logits_processors\":[]",
                "\"best_of\":2")) {
            String name = field.substring(1, field.indexOf('"', 1));
            assertThat(error(CHAT, field, 400).get("param").asString()).isEqualTo(name);
        }
        assertThat(error(TEXT, "\"suffix\":\"x\"", 400).get("param").asString()).isEqualTo("suffix");
        assertThat(error(TEXT, "\"best_of\":100", 400).get("param").asString()).isEqualTo("best_of");
    }

    @Test
    void theOfficialClientUnderstandsEveryForm() {
        OpenAIClient client = system.client();
        try {
            Completion text = client.completions()
                    .create(CompletionCreateParams.builder()
                            .model("tiny")
                            .prompt("a b")
                            .n(2)
                            .bestOf(3)
                            .logprobs(2)
                            .maxTokens(4)
                            .seed(3)
                            .temperature(1.0)
                            .build());
            text.validate();
            assertThat(text.choices()).hasSize(2);
            assertThat(text.choices()
                            .getFirst()
                            .logprobs()
                            .orElseThrow()
                            .topLogprobs()
                            .orElseThrow())
                    .hasSizeBetween(1, 4);
            ChatCompletion chat = client.chat()
                    .completions()
                    .create(ChatCompletionCreateParams.builder()
                            .model("tiny")
                            .addDeveloperMessage("be brief")
                            .addUserMessage("a b")
                            .n(2)
                            .logprobs(true)
                            .topLogprobs(2)
                            .maxCompletionTokens(4)
                            .reasoningEffort(ReasoningEffort.LOW)
                            .serviceTier(ChatCompletionCreateParams.ServiceTier.FLEX)
                            .safetyIdentifier("s")
                            .promptCacheKey("k")
                            .build());
            chat.validate();
            assertThat(chat.choices()).hasSize(2);
            assertThat(chat.usage().orElseThrow().promptTokensDetails()).isPresent();
        } finally {
            client.close();
        }
    }
}
