package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Logged;
import java.net.http.HttpResponse;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.slf4j.LoggerFactory;

/** What users write, and what models answer, is in no log line and no span, whatever becomes of the request. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class CanaryTest {

    private static final String CANARY = "canary-in-a-coal-mine";
    private static final String ANSWER = "answer-of-the-" + CANARY;
    private static final String MESSAGES = "\"messages\":[{\"role\":\"user\",\"content\":\"" + CANARY + "\"}]";

    private record Sent(String path, String body) {}

    private static final List<Sent> SENT = List.of(
            new Sent("/v1/chat/completions", "{\"model\":\"canary\"," + MESSAGES + "}"),
            new Sent("/v1/chat/completions", "{\"model\":\"canary\",\"stream\":true," + MESSAGES + "}"),
            new Sent(
                    "/v1/chat/completions",
                    "{\"model\":\"canary\",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\""
                            + CANARY + "\"}}],\"stop\":[\"" + CANARY + "\"]," + MESSAGES + "}"),
            new Sent("/v1/completions", "{\"model\":\"canary\",\"prompt\":[\"" + CANARY + "\",\"" + CANARY + "\"]}"),
            new Sent(
                    "/v1/responses",
                    "{\"model\":\"canary\",\"instructions\":\"" + CANARY + "\",\"input\":\"" + CANARY + "\"}"),
            new Sent(
                    "/v1/messages",
                    "{\"model\":\"canary\",\"max_tokens\":5,\"system\":\"" + CANARY + "\"," + MESSAGES + "}"),
            new Sent("/v1/embeddings", "{\"model\":\"canary\",\"input\":\"" + CANARY + "\"}"),
            new Sent(
                    "/v1/rerank",
                    "{\"model\":\"canary\",\"query\":\"" + CANARY + "\",\"documents\":[\"" + CANARY + "\"]}"),
            new Sent("/v1/score", "{\"model\":\"canary\",\"text_1\":\"" + CANARY + "\",\"text_2\":\"" + CANARY + "\"}"),
            new Sent("/v1/chat/completions", "{\"model\":\"canary-fails\"," + MESSAGES + "}"),
            new Sent("/v1/chat/completions", "{\"model\":\"canary-refuses\"," + MESSAGES + "}"),
            // What is wrong with a request is told to its client, and to nobody else.
            new Sent(
                    "/v1/chat/completions",
                    "{\"model\":\"canary\",\"temperature\":\"" + CANARY + "\"," + MESSAGES + "}"),
            new Sent("/v1/chat/completions", "{\"model\":\"canary\",\"messages\":[{\"role\":\"" + CANARY + "\"}]}"),
            new Sent("/v1/chat/completions", "{\"model\":\"canary\", " + CANARY),
            new Sent("/v1/responses", "{\"model\":\"canary\",\"input\":[{\"type\":\"" + CANARY + "\"}]}"),
            new Sent("/v1/batches", "{\"input_file_id\":\"" + CANARY + "\",\"endpoint\":\"/v1/responses\"}"));

    @Test
    void whatIsAskedAndAnsweredIsInNoLogLineAndNoSpan(Gateway gateway) throws Exception {
        gateway.serve("canary", journal -> journal.answer(ANSWER))
                .serve(
                        "canary-fails",
                        journal -> journal.admit().claim().token(0, ANSWER).fail(500, "engine"))
                .serve("canary-refuses", journal -> journal.admit().refuse(400, "too_long", "messages", "too long"));
        var ours = (Logger) LoggerFactory.getLogger("io.millrace");
        Level before = ours.getLevel();
        ours.setLevel(Level.DEBUG);
        int answered = 0;
        try (Logged logged = Logged.of(org.slf4j.Logger.ROOT_LOGGER_NAME)) {
            ours.debug("this is heard");
            for (Sent each : SENT) {
                HttpResponse<String> response = gateway.post(each.path(), each.body());
                answered += response.body().contains(CANARY) ? 1 : 0;
            }
            assertThat(answered).as("answers that hold it").isGreaterThan(5);
            assertThat(logged.lines()).contains("this is heard").noneMatch(line -> line.contains(CANARY));
            assertThat(gateway.spans())
                    .isNotEmpty()
                    .noneMatch(span -> String.valueOf(span).contains(CANARY));
        } finally {
            ours.setLevel(before);
        }
    }
}
