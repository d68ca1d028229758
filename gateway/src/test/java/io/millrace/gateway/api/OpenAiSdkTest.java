package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.http.StreamResponse;
import com.openai.errors.BadRequestException;
import com.openai.errors.NotFoundException;
import com.openai.helpers.ChatCompletionAccumulator;
import com.openai.models.chat.completions.ChatCompletion;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import com.openai.models.chat.completions.ChatCompletionStreamOptions;
import com.openai.models.completions.CompletionCreateParams;
import com.openai.models.responses.Response;
import com.openai.models.responses.ResponseCreateParams;
import com.openai.models.responses.ResponseStreamEvent;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** OpenAI's own Java client works unchanged. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class OpenAiSdkTest {

    private static final String TEXT = "Hello, \"wörld\" 🙂\n";

    private static OpenAIClient client(Gateway gateway) {
        return OpenAIOkHttpClient.builder()
                .baseUrl(gateway.uri("/v1").toString())
                .apiKey("any")
                .maxRetries(0)
                .build();
    }

    private static ChatCompletionCreateParams.Builder chat(String model) {
        return ChatCompletionCreateParams.builder()
                .model(model)
                .addSystemMessage("Be brief")
                .addUserMessage("Hi");
    }

    @Test
    void chatInOnePiece(Gateway gateway) {
        ChatCompletion answer =
                client(gateway).chat().completions().create(chat("echo").build());
        assertThat(answer.choices().getFirst().message().content()).hasValue(TEXT);
        assertThat(answer.choices().getFirst().finishReason()).isEqualTo(ChatCompletion.Choice.FinishReason.STOP);
        assertThat(answer.usage().orElseThrow().totalTokens()).isEqualTo(11);
        answer.validate();
    }

    @Test
    void chatStreamed(Gateway gateway) {
        var accumulator = ChatCompletionAccumulator.create();
        try (StreamResponse<ChatCompletionChunk> stream = client(gateway)
                .chat()
                .completions()
                .createStreaming(chat("echo")
                        .n(2)
                        .streamOptions(ChatCompletionStreamOptions.builder()
                                .includeUsage(true)
                                .build())
                        .build())) {
            stream.stream().peek(ChatCompletionChunk::validate).forEach(accumulator::accumulate);
        }
        ChatCompletion answer = accumulator.chatCompletion();
        assertThat(answer.choices())
                .hasSize(2)
                .allSatisfy(choice -> assertThat(choice.message().content()).hasValue(TEXT));
        assertThat(answer.usage().orElseThrow().completionTokens()).isEqualTo(8);
    }

    @Test
    void textCompletion(Gateway gateway) {
        var answer = client(gateway)
                .completions()
                .create(CompletionCreateParams.builder()
                        .model("echo")
                        .prompt("x")
                        .logprobs(2)
                        .build());
        assertThat(answer.choices().getFirst().text()).isEqualTo(TEXT);
        assertThat(answer.choices().getFirst().logprobs().orElseThrow().tokens().orElseThrow())
                .hasSize(4);
    }

    @Test
    void responsesBothWays(Gateway gateway) {
        ResponseCreateParams params = ResponseCreateParams.builder()
                .model("echo")
                .instructions("Be brief")
                .input("Hi")
                .build();
        Response response = client(gateway).responses().create(params);
        assertThat(text(response)).isEqualTo(TEXT);
        assertThat(response.usage().orElseThrow().outputTokens()).isEqualTo(4);
        response.validate();
        try (StreamResponse<ResponseStreamEvent> stream =
                client(gateway).responses().createStreaming(params)) {
            List<ResponseStreamEvent> events =
                    stream.stream().peek(ResponseStreamEvent::validate).toList();
            assertThat(events.getFirst().isCreated()).isTrue();
            assertThat(text(events.getLast().completed().orElseThrow().response()))
                    .isEqualTo(TEXT);
        }
    }

    private static String text(Response response) {
        return response.output()
                .getFirst()
                .asMessage()
                .content()
                .getFirst()
                .asOutputText()
                .text();
    }

    @Test
    void errorsAreTheClientsOwnTypes(Gateway gateway) {
        gateway.serve("sdk-refusing", journal -> journal.admit().refuse(400, "too_long", "messages", "5,000 of 2,048"));
        assertThatThrownBy(() -> client(gateway)
                        .chat()
                        .completions()
                        .create(chat("no-such-model").build()))
                .isInstanceOfSatisfying(
                        NotFoundException.class, e -> assertThat(e.code()).hasValue("model_not_found"));
        assertThatThrownBy(() -> client(gateway)
                        .chat()
                        .completions()
                        .createStreaming(chat("sdk-refusing").build()))
                .isInstanceOfSatisfying(BadRequestException.class, e -> {
                    assertThat(e.code()).hasValue("too_long");
                    assertThat(e.param()).hasValue("messages");
                });
    }

    @Test
    void modelsAreListed(Gateway gateway) {
        assertThat(client(gateway).models().list().data())
                .anySatisfy(model -> assertThat(model.id()).isEqualTo("echo"));
    }
}
