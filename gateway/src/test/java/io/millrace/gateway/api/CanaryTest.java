package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Logged;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
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

    /** Messages of a WebSocket, well and wrongly; each is answered by at least an event. */
    private static final List<String> SAID = List.of(
            "{\"type\":\"response.create\",\"model\":\"canary\",\"instructions\":\"" + CANARY + "\",\"input\":\""
                    + CANARY + "\"}",
            "{\"type\":\"response.create\",\"stream_id\":\"" + CANARY + "\",\"model\":\"canary-fails\",\"input\":\""
                    + CANARY + "\"}",
            "{\"type\":\"response.create\",\"model\":\"canary-refuses\",\"input\":\"" + CANARY + "\"}",
            "{\"type\":\"response.create\",\"model\":\"canary\",\"input\":[{\"role\":\"" + CANARY + "\"}]}",
            "{\"type\":\"response.create\",\"model\":\"canary\",\"previous_response_id\":\"" + CANARY
                    + "\",\"input\":\"x\"}",
            "{\"type\":\"response.resume\",\"response_id\":\"" + CANARY + "\"}",
            "{\"type\":\"response.cancel\",\"response_id\":\"" + CANARY + "\"}",
            "{\"type\":\"" + CANARY + "\"}",
            "{\"type\":\"response.create\", " + CANARY);

    private static final class Heard implements WebSocket.Listener {

        private final LinkedBlockingQueue<String> texts = new LinkedBlockingQueue<>();
        private final StringBuilder partial = new StringBuilder();

        @Override
        public @Nullable CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            partial.append(data);
            if (last) {
                texts.add(partial.toString());
                partial.setLength(0);
            }
            socket.request(1);
            return null;
        }

        /** Events up to so many that end a message. */
        List<String> until(int ends) throws InterruptedException {
            List<String> all = new ArrayList<>();
            for (int seen = 0; seen < ends; ) {
                String next = texts.poll(20, TimeUnit.SECONDS);
                assertThat(next).as("an event after %s", all).isNotNull();
                all.add(String.valueOf(next));
                seen += all.getLast().matches("(?s)\\{\"type\":\"(error|response\\.(completed|failed))\".*") ? 1 : 0;
            }
            return all;
        }
    }

    /** How many events of a WebSocket hold it. */
    private static long socket(Gateway gateway) throws Exception {
        var heard = new Heard();
        try (HttpClient http = HttpClient.newHttpClient()) {
            WebSocket socket = http.newWebSocketBuilder()
                    .buildAsync(URI.create("ws://127.0.0.1:" + gateway.port() + "/v1/responses"), heard)
                    .get(10, TimeUnit.SECONDS);
            for (String each : SAID) {
                socket.sendText(each, true).join();
            }
            List<String> events = heard.until(SAID.size());
            socket.abort();
            http.shutdownNow();
            return events.stream().filter(event -> event.contains(CANARY)).count();
        }
    }

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
            assertThat(socket(gateway)).as("events that hold it").isGreaterThan(3);
            assertThat(logged.lines()).contains("this is heard").noneMatch(line -> line.contains(CANARY));
            assertThat(gateway.spans())
                    .isNotEmpty()
                    .noneMatch(span -> String.valueOf(span).contains(CANARY));
        } finally {
            ours.setLevel(before);
        }
    }
}
