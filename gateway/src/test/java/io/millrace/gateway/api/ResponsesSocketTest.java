package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.shared.proto.RequestRecord;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.WebSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** {@code /v1/responses} as a WebSocket, with the JDK's client. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class ResponsesSocketTest {

    private final JsonMapper json = new JsonMapper();

    private static final class Messages implements WebSocket.Listener {
        final LinkedBlockingQueue<String> texts = new LinkedBlockingQueue<>();
        final CompletableFuture<Integer> closed = new CompletableFuture<>();
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

        @Override
        public @Nullable CompletionStage<?> onClose(WebSocket socket, int code, String reason) {
            closed.complete(code);
            return null;
        }

        @Override
        public void onError(WebSocket socket, Throwable error) {
            closed.completeExceptionally(error);
        }
    }

    private static WebSocket open(Gateway gateway, Messages messages) throws Exception {
        return open(String.valueOf(gateway.port()), messages);
    }

    private static WebSocket open(String port, WebSocket.Listener messages) throws Exception {
        return HttpClient.newHttpClient()
                .newWebSocketBuilder()
                .buildAsync(URI.create("ws://127.0.0.1:" + port + "/v1/responses"), messages)
                .get(10, TimeUnit.SECONDS);
    }

    private JsonNode next(Messages messages) throws InterruptedException {
        String text = messages.texts.poll(15, TimeUnit.SECONDS);
        assertThat(text).as("a message").isNotNull();
        return json.readTree(String.valueOf(text));
    }

    private List<JsonNode> response(Messages messages) throws InterruptedException {
        List<JsonNode> events = new ArrayList<>();
        String type = "";
        while (!type.matches("response\\.(completed|incomplete|failed)|error")) {
            events.add(next(messages));
            type = events.getLast().get("type").asString();
        }
        return events;
    }

    @Test
    void responsesFollowEachOtherOnOneConnection(Gateway gateway) throws Exception {
        gateway.serve(
                "short", journal -> journal.admit().claim().token(0, "cut").end(0, "length", "!"));
        var messages = new Messages();
        WebSocket socket = open(gateway, messages);
        socket.sendText("{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"Hi\"}", true)
                .join();
        socket.sendText(
                        "{\"type\":\"response.create\",\"response\":{\"model\":\"short\",\"instructions\":\"i\",\"metadata\":{\"a\":\"b\"},"
                                + "\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"Hi\"}]}]}}",
                        true)
                .join();
        List<JsonNode> first = response(messages);
        assertThat(first.stream().map(event -> event.get("type").asString()).distinct())
                .containsExactly(
                        "response.created",
                        "response.in_progress",
                        "response.output_item.added",
                        "response.content_part.added",
                        "response.output_text.delta",
                        "response.output_text.done",
                        "response.content_part.done",
                        "response.output_item.done",
                        "response.completed");
        for (int i = 0; i < first.size(); i++) {
            assertThat(first.get(i).get("sequence_number").asInt()).isEqualTo(i);
        }
        List<JsonNode> second = response(messages);
        JsonNode cut = second.getLast();
        assertThat(cut.get("type").asString()).isEqualTo("response.incomplete");
        JsonNode body = cut.get("response");
        assertThat(body.get("incomplete_details").get("reason").asString()).isEqualTo("max_output_tokens");
        assertThat(body.get("output").get(0).get("content").get(0).get("text").asString())
                .isEqualTo("cut!");
        assertThat(body.get("instructions").asString()).isEqualTo("i");
        assertThat(body.get("metadata").get("a").asString()).isEqualTo("b");
        assertThat(second.getFirst().get("sequence_number").asInt()).isZero();
        socket.sendClose(WebSocket.NORMAL_CLOSURE, "").join();
        assertThat(messages.closed.get(10, TimeUnit.SECONDS)).isEqualTo(WebSocket.NORMAL_CLOSURE);
    }

    @Test
    void errorsLeaveTheConnectionOpen(Gateway gateway) throws Exception {
        gateway.serve("ws-refusing", journal -> journal.admit().refuse(400, "too_long", "input", "too long"))
                .serve(
                        "ws-breaking",
                        journal -> journal.admit().claim().token(0, "a").fail(500, "broken"));
        var messages = new Messages();
        WebSocket socket = open(gateway, messages);
        for (String bad : List.of(
                "{",
                "{\"type\":\"session.update\"}",
                "{\"type\":\"response.steer\"}",
                "{\"type\":\"response.cancel\"}",
                "{\"type\":\"response.cancel\",\"response_id\":\"resp_1\"}",
                "{\"type\":\"response.resume\",\"response_id\":\"resp_1\",\"stream_id\":\"a\"}",
                "{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"Hi\",\"frobnicate\":1}",
                "{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"Hi\",\"background\":true}",
                "{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"Hi\",\"generate\":false}",
                "{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"Hi\",\"stream_id\":\"\"}",
                "{\"type\":\"response.create\",\"model\":\"nobody\",\"input\":\"Hi\"}",
                "{\"type\":\"response.create\",\"model\":\"ws-refusing\",\"input\":\"Hi\"}")) {
            socket.sendText(bad, true).join();
            JsonNode error = next(messages);
            assertThat(error.get("type").asString()).as(bad).isEqualTo("error");
            assertThat(error.get("status").asInt()).isBetween(400, 404);
            assertThat(error.get("error").get("code").asString()).isNotBlank();
            assertThat(error.get("error").get("message").asString()).isNotBlank();
        }
        socket.sendText("{\"type\":\"response.create\",\"model\":\"ws-breaking\",\"input\":\"Hi\"}", true)
                .join();
        JsonNode failed = response(messages).getLast();
        assertThat(failed.get("type").asString()).isEqualTo("response.failed");
        assertThat(failed.get("response").get("error").get("code").asString()).isEqualTo("broken");
        socket.sendText("{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"Hi\"}", true)
                .join();
        assertThat(response(messages).getLast().get("type").asString()).isEqualTo("response.completed");
        socket.abort();
    }

    @Test
    void lanesAreAnsweredBesideEachOtherAndWhatIsNotStoredIsGoneOnFromOnItsOwnConnection(Gateway gateway)
            throws Exception {
        gateway.serve("ws-silent", journal -> journal.admit().claim().token(0, "first"));
        var messages = new Messages();
        WebSocket socket = open(gateway, messages);
        socket.sendText(
                        "{\"type\":\"response.create\",\"stream_id\":\"a\",\"model\":\"ws-silent\",\"input\":\"Hi\"}",
                        true)
                .join();
        socket.sendText(
                        "{\"type\":\"response.create\",\"stream_id\":\"b\",\"model\":\"echo\",\"input\":\"Hi\",\"store\":false}",
                        true)
                .join();
        JsonNode end = null;
        while (end == null) {
            JsonNode event = next(messages);
            assertThat(event.get("stream_id").asString()).isIn("a", "b");
            end = event.get("type").asString().equals("response.completed") ? event : null;
        }
        assertThat(end.get("stream_id").asString()).isEqualTo("b");
        String id = end.get("response").get("id").asString();
        socket.sendText(
                        "{\"type\":\"response.create\",\"stream_id\":\"c\",\"model\":\"echo\",\"input\":\"And?\","
                                + "\"previous_response_id\":\"" + id + "\"}",
                        true)
                .join();
        List<JsonNode> second = response(messages);
        assertThat(second.getLast().get("stream_id").asString()).isEqualTo("c");
        RequestRecord sent =
                gateway.cluster().await(record -> record.getSubmit().getShape().getTurns() == 2);
        assertThat(sent.getSubmit().getChat().getMessagesJson())
                .isEqualTo(
                        "[{\"role\":\"user\",\"content\":\"Hi\"},{\"role\":\"assistant\",\"content\":\"Hello, \\\"wörld\\\" 🙂\\n\"},"
                                + "{\"role\":\"user\",\"content\":\"And?\"}]");
        for (int i = 0; i < ResponsesSocket.WAITING_MAX + 2; i++) {
            socket.sendText(
                            "{\"type\":\"response.create\",\"stream_id\":\"a\",\"model\":\"echo\",\"input\":\"Hi\"}",
                            true)
                    .join();
        }
        JsonNode full = response(messages).getLast();
        assertThat(full.get("error").get("code").asString()).isEqualTo("too_many_waiting");
        assertThat(full.get("stream_id").asString()).isEqualTo("a");
        socket.abort();
    }

    @Test
    void aClosedConnectionDetachesItsResponse(Gateway gateway) throws Exception {
        gateway.serve("ws-endless", journal -> journal.admit().claim().token(0, "first"));
        var messages = new Messages();
        WebSocket socket = open(gateway, messages);
        socket.sendText("{\"type\":\"response.create\",\"model\":\"ws-endless\",\"input\":\"Hi\"}", true)
                .join();
        String id = next(messages).get("response").get("id").asString().substring("resp_".length());
        socket.abort();
        RequestRecord detach = gateway.cluster().await(record -> record.getId().equals(id) && record.hasDetach());
        assertThat(detach.getDetach().getGateway()).isNotBlank();
    }

    @Test
    void aClientThatDoesNotReadIsCutAndItsResponseDetached(Gateway gateway) throws Exception {
        String text = "x".repeat(256 * 1024);
        gateway.serve("ws-flood", journal -> {
            journal.admit().claim();
            for (int i = 0; i < 160; i++) {
                journal.token(0, text);
            }
        });
        var deaf = new WebSocket.Listener() {
            @Override
            public void onOpen(WebSocket socket) {
                // Asks for nothing.
            }
        };
        WebSocket socket = open(String.valueOf(gateway.port()), deaf);
        socket.sendText("{\"type\":\"response.create\",\"model\":\"ws-flood\",\"input\":\"Hi\"}", true)
                .join();
        String id = gateway.cluster()
                .await(record -> record.getSubmit().getModel().equals("ws-flood"))
                .getId();
        gateway.cluster().await(record -> record.getId().equals(id) && record.hasDetach());
        socket.abort();
    }

    @Test
    void aConnectionThatHasReachedItsAgeSaysSoAndCloses(Gateway gateway) throws Exception {
        try (var young = gateway.another("millrace.gateway.socket-life=200ms")) {
            var messages = new Messages();
            open(young.getEnvironment().getRequiredProperty("local.server.port"), messages);
            assertThat(next(messages).get("error").get("code").asString())
                    .isEqualTo("websocket_connection_limit_reached");
            assertThat(messages.closed.get(10, TimeUnit.SECONDS)).isEqualTo(WebSocket.NORMAL_CLOSURE);
        }
    }

    @Test
    void aMessageOverTheLimitClosesTheConnection(Gateway gateway) throws Exception {
        var messages = new Messages();
        WebSocket socket = open(gateway, messages);
        String part = "x".repeat(1024 * 1024);
        for (int i = 0; i < 9; i++) {
            socket.sendText(part, i == 8).join();
        }
        assertThat(messages.closed.get(10, TimeUnit.SECONDS)).isEqualTo(1009);
        assertThat(gateway.get("/health").statusCode()).isEqualTo(200);
    }
}
