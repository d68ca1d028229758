package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import com.openai.client.okhttp.OpenAIOkHttpClient;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real processes, and kill -9 of all that there is; of one part at a time: {@code ChaosTest} of bench. */
class KilledProcessTest {

    private static final int STREAMS = 16;
    private static final int TOKENS = 120;

    @TempDir
    Path dir;

    @Test
    void everythingAcceptedEndsAfterTheWholeOfItIsKilledAndStartedAgain() throws Exception {
        int port = Processes.freePort();
        int kafka = Processes.freePort();
        String[] up = {
            "up",
            "--model",
            "mock:alpha",
            "--port",
            String.valueOf(port),
            "--kafka-port",
            String.valueOf(kafka),
            "--data-dir",
            dir.resolve("data").toString(),
            "--set",
            "millrace.worker.mock-step=25ms",
            "--set",
            "millrace.kafka.partitions=4",
            "--set",
            "millrace.kafka.slots=4",
            "--set",
            "millrace.router.detach-grace=60s"
        };
        try (Processes processes = new Processes(dir);
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            Process first = processes.start("first", up);
            processes.awaitOutput("first", "Ready at");
            OpenAIClient client = client(port);
            Set<Integer> begun = ConcurrentHashMap.newKeySet();
            for (int i = 0; i < STREAMS; i++) {
                int number = i;
                threads.submit(() -> stream(client, number, begun));
            }
            Processes.await("the first text of all streams", () -> begun.size() == STREAMS);
            Processes.kill(first);

            processes.start("second", up);
            processes.awaitOutput("second", "Ready at");
            assertThat(Journals.awaitAllEnded("127.0.0.1:" + kafka, 4, STREAMS))
                    .allMatch(
                            each -> each.finish().equals("length") && each.tokens() == TOKENS,
                            "ended with all its tokens");
            client.close();
            threads.shutdownNow();
        }
    }

    @Test
    void processesAreStartedAgainAndEndWithTheirParentEvenWhenThatIsKilled() throws Exception {
        int port = Processes.freePort();
        try (Processes processes = new Processes(dir)) {
            Process parent = processes.start(
                    "parent",
                    "up",
                    "--processes",
                    "--workers",
                    "2",
                    "--model",
                    "mock:alpha",
                    "--kafka-port",
                    "0",
                    "--port",
                    String.valueOf(port),
                    "--data-dir",
                    dir.resolve("data").toString(),
                    "--set",
                    "millrace.kafka.partitions=4",
                    "--set",
                    "millrace.kafka.slots=4");
            processes.awaitOutput("parent", "Ready at");
            List<ProcessHandle> children = parent.children().toList();
            assertThat(children).as("broker, gateway, router, two workers").hasSize(5);

            children.getLast().destroyForcibly();
            Processes.await(
                    "a new child",
                    () -> !children.getLast().isAlive() && parent.children().count() == 5);
            OpenAIClient client = client(port);
            assertThat(stream(client, 0, ConcurrentHashMap.newKeySet())).isNotBlank();
            client.close();

            List<ProcessHandle> last = parent.children().toList();
            Processes.kill(parent);
            Processes.await("the children's end", () -> last.stream().noneMatch(ProcessHandle::isAlive));
        }
    }

    private static OpenAIClient client(int port) {
        return OpenAIOkHttpClient.builder()
                .baseUrl("http://127.0.0.1:" + port + "/v1")
                .apiKey("none")
                .maxRetries(0)
                .timeout(Duration.ofSeconds(120))
                .build();
    }

    private static String stream(OpenAIClient client, int number, Set<Integer> begun) {
        ChatCompletionCreateParams params = ChatCompletionCreateParams.builder()
                .model("alpha")
                .addUserMessage("stream number " + number)
                .temperature(0)
                .maxCompletionTokens(TOKENS)
                .putAdditionalBodyProperty("ignore_eos", com.openai.core.JsonValue.from(true))
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
}
