package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.proto.DeadLetter;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import io.millrace.standalone.cli.CommandLines;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.json.JsonMapper;

/** {@code millrace replay} and {@code millrace dead-letters}, on a running system. */
@Timeout(120)
@ExtendWith(SharedSystem.class)
class RerunTest {

    private static final JsonMapper JSON = new JsonMapper();

    private record Ran(int status, String out, String err) {}

    private static Ran run(SystemUnderTest system, String... args) {
        List<String> all = new ArrayList<>(List.of(args));
        all.addAll(List.of("--kafka", system.bootstrap()));
        var out = new ByteArrayOutputStream();
        var err = new ByteArrayOutputStream();
        int status = CommandLines.run(all.toArray(String[]::new), new PrintStream(out), new PrintStream(err));
        return new Ran(status, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
    }

    private static String id(SystemUnderTest system, String path, String body) throws Exception {
        var answer = system.post(path, body);
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        return JSON.readTree(answer.body()).path("id").asString();
    }

    @Test
    void chatsCompletionsAndResponsesAreReplayedByteForByte(SystemUnderTest system) throws Exception {
        List<String> ids = List.of(
                id(
                        system,
                        "/v1/chat/completions",
                        "{\"model\":\"tiny\",\"n\":2,\"logprobs\":true,\"top_logprobs\":2,\"max_tokens\":9,\"ignore_eos\":true,"
                                + "\"messages\":[{\"role\":\"user\",\"content\":\"again?\"}]}"),
                id(
                        system,
                        "/v1/completions",
                        "{\"model\":\"alpha\",\"prompt\":\"once\",\"max_tokens\":12,\"ignore_eos\":true,\"temperature\":0.8}"),
                id(
                        system,
                        "/v1/responses",
                        "{\"model\":\"alpha\",\"input\":\"twice\",\"max_output_tokens\":7,\"ignore_eos\":true}"));
        for (String id : ids) {
            Ran ran = run(system, "replay", id);
            assertThat(ran.err()).isEmpty();
            assertThat(ran.status()).as(ran.out()).isZero();
            assertThat(ran.out()).contains("replayed").contains("equal: ");
        }
        assertThat(run(system, "replay", ids.getFirst()).out())
                .contains("2 choices, 18 tokens")
                .contains("log probabilities");
    }

    @Test
    void whatCannotBeReplayedIsSaid(SystemUnderTest system) throws Exception {
        var counted = system.post("/tokenize", "{\"model\":\"alpha\",\"prompt\":\"how many?\"}");
        assertThat(counted.statusCode()).isEqualTo(200);
        Ran ran = run(
                system, "replay", counted.headers().firstValue("x-request-id").orElseThrow());
        assertThat(ran.status()).as(ran.err()).isEqualTo(4);
        assertThat(ran.out()).contains("cannot be compared: it generates no text");
        Ran unknown = run(system, "replay", RequestId.random(1).text());
        assertThat(unknown.status()).isNotZero();
        assertThat(unknown.err()).contains("MR-TRACE-002");
    }

    @Test
    void aDeadLetterIsListedShownAndRetriedOnce(SystemUnderTest system) throws Exception {
        RequestId id = RequestId.random(2);
        Submit submit = Submit.newBuilder()
                .setTenant("default")
                .setModel("alpha")
                .setSeed(5)
                .setCreatedMs(System.currentTimeMillis() - 86_400_000)
                .setDeadlineMs(System.currentTimeMillis() - 86_000_000)
                .setPriority(2)
                .setN(1)
                .setPromptText("it was too much for a worker")
                .setSampling(Sampling.newBuilder().setMaxTokens(6).setIgnoreEos(true))
                .build();
        try (KafkaLog log = new KafkaLog(KafkaSettings.of(system.bootstrap()).withClientId("test"))) {
            byte[] letter = DeadLetter.newBuilder()
                    .setId(id.text())
                    .setReq(77)
                    .setPartition(2)
                    .setSubmit(submit)
                    .setCrashes(3)
                    .setSoloCrashes(2)
                    .setCause("worker_lost")
                    .setTimeMs(System.currentTimeMillis())
                    .build()
                    .toByteArray();
            // A router that takes over may write it again.
            log.append(Topic.DEAD_LETTERS, 0, id.text(), letter).get();
            log.append(Topic.DEAD_LETTERS, 0, id.text(), letter).get();
        }
        assertThat(run(system, "dead-letters", "list").out().lines().filter(line -> line.startsWith(id.text())))
                .singleElement()
                .asString()
                .contains("3 crashes, 2 of them alone");
        assertThat(run(system, "dead-letters", "show", id.text()).out())
                .contains("max_tokens: 6")
                .doesNotContain("too much");
        assertThat(run(system, "dead-letters", "show", id.text(), "--input").out())
                .contains("too much");

        Ran first = run(system, "dead-letters", "retry", id.text());
        assertThat(first.out()).as(first.err()).startsWith("retried as ").contains(": completed, 6 tokens");
        Ran again = run(system, "dead-letters", "retry", id.text());
        assertThat(again.out())
                .startsWith("was retried already as "
                        + first.out().substring("retried as ".length()).strip());
        assertThat(run(system, "dead-letters", "show", RequestId.random(0).text())
                        .err())
                .contains("MR-RERUN-004");
    }
}
