package io.millrace.standalone.system;

import static io.millrace.standalone.system.WholeSystemTest.params;
import static io.millrace.standalone.system.WholeSystemTest.streamed;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.abort;

import com.openai.client.OpenAIClient;
import com.openai.core.http.StreamResponse;
import com.openai.models.chat.completions.ChatCompletionChunk;
import com.openai.models.chat.completions.ChatCompletionCreateParams;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.testcontainers.DockerClientFactory;
import org.testcontainers.images.RemoteDockerImage;
import org.testcontainers.kafka.KafkaContainer;
import org.testcontainers.utility.DockerImageName;

/**
 * All parts over a Kafka that is not ours to start: a container of the image apache/kafka, or of the one that the variable
 * {@code TEST_KAFKA_IMAGE} names and that starts like it. Skipped, aloud, without a Docker engine or that image.
 */
@Tag("long")
class KafkaContainerTest {

    private static final String PUBLIC_IMAGE = "apache/kafka:4.2.1";
    private static final Duration PAUSE = Duration.ofSeconds(4);

    private static KafkaContainer kafka;
    private static SystemUnderTest system;
    private static OpenAIClient client;

    @BeforeAll
    static void start() throws Exception {
        kafka = new KafkaContainer(image());
        kafka.start();
        system = SystemUnderTest.over(
                kafka.getBootstrapServers(),
                kafka::stop,
                Map.of("millrace.worker.models[0]", "mock:alpha", "millrace.worker.mock-step", "20ms"),
                "alpha");
        client = system.client();
    }

    @AfterAll
    static void stop() {
        if (client != null) {
            client.close();
            system.close();
        } else if (kafka != null) {
            kafka.stop();
        }
    }

    private static DockerImageName image() {
        String name = System.getenv().getOrDefault("TEST_KAFKA_IMAGE", PUBLIC_IMAGE);
        if (!DockerClientFactory.instance().isDockerAvailable()) {
            skip("no Docker engine answers (DOCKER_HOST is " + System.getenv().getOrDefault("DOCKER_HOST", "unset")
                    + ")");
        }
        DockerImageName image = DockerImageName.parse(name).asCompatibleSubstituteFor("apache/kafka");
        try {
            new RemoteDockerImage(image).get(60, TimeUnit.SECONDS);
        } catch (Exception e) {
            skip("the image " + name + " is neither here nor to be pulled (" + e.getMessage()
                    + "); TEST_KAFKA_IMAGE names another, such as the one that .ci/docker builds");
        }
        return image;
    }

    private static void skip(String reason) {
        String message = "SKIPPED KafkaContainerTest: " + reason;
        System.err.println(message);
        abort(message);
    }

    @Test
    void aStreamIsTheSameTextAsTheWholeAnswer() {
        String whole = client.chat()
                .completions()
                .create(params("alpha", "through a container"))
                .choices()
                .getFirst()
                .message()
                .content()
                .orElseThrow();

        assertThat(whole).isNotBlank();
        assertThat(streamed(client, params("alpha", "through a container"))).isEqualTo(whole);
    }

    @Test
    void aStreamOutlastsAKafkaThatStandsStillForSeconds() throws Exception {
        ChatCompletionCreateParams request = params("alpha", "stand still").toBuilder()
                .maxCompletionTokens(150)
                .build();
        String undisturbed = streamed(client, request);
        var begun = new CountDownLatch(10);

        CompletableFuture<String> disturbed = CompletableFuture.supplyAsync(() -> collect(request, begun));
        assertThat(begun.await(60, TimeUnit.SECONDS)).as("ten tokens").isTrue();
        kafka.getDockerClient().pauseContainerCmd(kafka.getContainerId()).exec();
        try {
            // Without Kafka nothing is said: 140 tokens of 20 ms would else be through by then.
            assertThat(disturbed).failsWithin(PAUSE).withThrowableOfType(TimeoutException.class);
        } finally {
            kafka.getDockerClient().unpauseContainerCmd(kafka.getContainerId()).exec();
        }
        assertThat(disturbed.get(60, TimeUnit.SECONDS)).isNotBlank().isEqualTo(undisturbed);
    }

    private static String collect(ChatCompletionCreateParams request, CountDownLatch begun) {
        var text = new StringBuilder();
        try (StreamResponse<ChatCompletionChunk> chunks =
                client.chat().completions().createStreaming(request)) {
            chunks.stream()
                    .flatMap(chunk -> chunk.choices().stream())
                    .flatMap(choice -> choice.delta().content().stream())
                    .forEach(piece -> {
                        text.append(piece);
                        begun.countDown();
                    });
        }
        return text.toString();
    }
}
