package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.core.JsonValue;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Chats with the mock model {@code alpha} that run at one time, each with a text of its own that is the same every time. */
final class MockStreams implements AutoCloseable {

    private final ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor();
    private final Set<Integer> begun = ConcurrentHashMap.newKeySet();
    private final List<Future<String>> all = new ArrayList<>();
    private final OpenAIClient client;
    private final int tokens;

    private MockStreams(OpenAIClient client, int tokens) {
        this.client = client;
        this.tokens = tokens;
    }

    /** A client that does not try again. */
    static OpenAIClient client(int port) {
        return OpenAIOkHttpClient.builder()
                .baseUrl("http://127.0.0.1:" + port + "/v1")
                .apiKey("none")
                .maxRetries(0)
                .timeout(Duration.ofSeconds(120))
                .build();
    }

    /** Returns when all of them have said something. */
    static MockStreams begin(OpenAIClient client, int count, int tokens) throws InterruptedException {
        var streams = new MockStreams(client, tokens);
        streams.start(count);
        Processes.await("the first text of all streams", () -> streams.begun.size() == count);
        return streams;
    }

    private void start(int count) {
        for (int i = 0; i < count; i++) {
            int number = i;
            all.add(threads.submit(() -> stream(number)));
        }
    }

    /** They are still under way, so what happens now happens in their middle. */
    long running() {
        return all.stream().filter(each -> !each.isDone()).count();
    }

    /** Waits for their ends, and compares each with the same one when nothing happens. */
    void assertWholeAndAsUndisturbed() throws Exception {
        List<String> disturbed = new ArrayList<>();
        for (Future<String> each : all) {
            disturbed.add(each.get(120, TimeUnit.SECONDS));
        }
        int count = all.size();
        all.clear();
        start(count);
        for (int i = 0; i < count; i++) {
            assertThat(disturbed.get(i))
                    .as("stream %d", i)
                    .isNotBlank()
                    .isEqualTo(all.get(i).get(120, TimeUnit.SECONDS));
        }
    }

    private String stream(int number) {
        ChatCompletionCreateParams params = ChatCompletionCreateParams.builder()
                .model("alpha")
                .addUserMessage("stream number " + number)
                .temperature(0)
                .maxCompletionTokens(tokens)
                .putAdditionalBodyProperty("ignore_eos", JsonValue.from(true))
                .build();
        try (var chunks = client.chat().completions().createStreaming(params)) {
            return chunks.stream()
                    .flatMap(chunk -> chunk.choices().stream())
                    .flatMap(choice -> choice.delta().content().stream())
                    .peek(text -> {
                        if (!text.isEmpty()) {
                            begun.add(number);
                        }
                    })
                    .collect(Collectors.joining());
        }
    }

    @Override
    public void close() {
        threads.shutdownNow();
    }
}
