package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Logged;
import java.net.Socket;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Limits of conversations and of HTTP itself: each is told with its number and what to do, in the shape of the API that is spoken. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
class LimitsTest {

    private static final int MESSAGES_MAX = 10_000;
    private final JsonMapper json = new JsonMapper();

    private static String messages(int count) {
        return "[" + "{\"role\":\"user\",\"content\":\"x\"},".repeat(count - 1)
                + "{\"role\":\"user\",\"content\":\"y\"}]";
    }

    private static String body(String field, int count) {
        return "{\"model\":\"echo\",\"max_tokens\":1,\"" + field + "\":" + messages(count) + "}";
    }

    private static String response(int count) {
        return "{\"type\":\"response.create\",\"model\":\"echo\",\"input\":" + messages(count) + "}";
    }

    @Test
    void aConversationOfTooManyMessagesIsRefusedOnEveryEndpointThatTakesOne(Gateway gateway) throws Exception {
        for (String path : new String[] {"/v1/chat/completions", "/tokenize"}) {
            checkCount(gateway.post(path, body("messages", MESSAGES_MAX + 1)), "messages");
        }
        String response = body("input", MESSAGES_MAX + 1).replace(",\"max_tokens\":1", "");
        checkCount(gateway.post("/v1/responses", response), "input");
        for (String path : new String[] {"/v1/messages", "/v1/messages/count_tokens"}) {
            HttpResponse<String> answer = gateway.post(path, body("messages", MESSAGES_MAX + 1));
            assertThat(answer.statusCode()).isEqualTo(400);
            JsonNode object = json.readTree(answer.body());
            assertThat(object.get("type").asString()).isEqualTo("error");
            checkMessage(object.get("error").get("message").asString());
        }
        assertThat(gateway.post("/v1/chat/completions", body("messages", MESSAGES_MAX))
                        .statusCode())
                .isEqualTo(200);
    }

    private void checkCount(HttpResponse<String> answer, String param) {
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(400);
        checkCount(json.readTree(answer.body()).get("error"), param);
    }

    private static void checkCount(JsonNode error, String param) {
        assertThat(error.get("param").asString()).isEqualTo(param);
        assertThat(error.get("code").asString()).isEqualTo("too_many_messages");
        checkMessage(error.get("message").asString());
    }

    private static void checkMessage(String message) {
        assertThat(message).contains("MR-GW-015", "10,001", "10,000", "millrace.gateway.messages-max");
    }

    @Test
    void aWebSocketRefusesTheSame(Gateway gateway) throws Exception {
        var told = new CompletableFuture<String>();
        var text = new StringBuilder();
        try (HttpClient http = HttpClient.newHttpClient()) {
            WebSocket socket = http.newWebSocketBuilder()
                    .buildAsync(
                            java.net.URI.create("ws://127.0.0.1:" + gateway.port() + "/v1/responses"),
                            new WebSocket.Listener() {
                                @Override
                                public @Nullable CompletionStage<?> onText(
                                        WebSocket from, CharSequence data, boolean last) {
                                    text.append(data);
                                    if (last) {
                                        told.complete(text.toString());
                                    }
                                    from.request(1);
                                    return null;
                                }
                            })
                    .get(10, TimeUnit.SECONDS);
            socket.sendText(response(MESSAGES_MAX + 1), true).join();
            JsonNode event = json.readTree(told.get(20, TimeUnit.SECONDS));
            assertThat(event.get("type").asString()).isEqualTo("error");
            checkCount(event.get("error"), "input");
            socket.abort();
            http.shutdownNow();
        }
    }

    @Test
    void earlierTurnsCountToo() {
        var requests = new ResponseRequests(new Json(), 1 << 20, 4);
        JsonNode message = json.readTree("{\"role\":\"user\",\"content\":\"x\"}");
        JsonNode output = json.readTree(
                "{\"type\":\"message\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"y\"}]}");
        var before = new Conversation("resp_1", List.of(message, message, message), List.of(output), 1);
        Json.Body body = new Json().object("{\"model\":\"m\",\"previous_response_id\":\"resp_1\",\"input\":\"z\"}");
        assertThatThrownBy(() -> requests.read(body, false, before))
                .hasMessageContaining("5 messages with 'previous_response_id'; at most 4");
    }

    /** What a server answers to this, up to the end of the connection. */
    private static String raw(Gateway gateway, String request) throws Exception {
        try (var socket = new Socket("127.0.0.1", gateway.port())) {
            socket.setSoTimeout(20_000);
            socket.getOutputStream().write(request.getBytes(StandardCharsets.ISO_8859_1));
            return new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        }
    }

    private JsonNode refused(Gateway gateway, String request, String status) throws Exception {
        String answer = raw(gateway, request);
        assertThat(answer).startsWith("HTTP/1.1 " + status);
        assertThat(answer.toLowerCase(java.util.Locale.ROOT)).contains("content-type: application/json");
        return json.readTree(answer.substring(answer.indexOf("\r\n\r\n")));
    }

    @Test
    void whatIsNoReadableRequestIsAnsweredInTheSameShape(Gateway gateway) throws Exception {
        String head = " HTTP/1.1\r\nHost: x\r\n";
        JsonNode line = refused(gateway, "GET /v1/models?q=" + "x".repeat(9_000) + head + "\r\n", "414");
        assertThat(line.get("error").get("code").asString()).isEqualTo("request_line_too_long");
        assertThat(line.get("error").get("message").asString())
                .contains("MR-GW-016", "4,096", "server.netty.max-initial-line-length");
        String large = "X-Large: " + "x".repeat(9_000) + "\r\n\r\n";
        JsonNode headers = refused(gateway, "GET /v1/models" + head + large, "431");
        assertThat(headers.get("error").get("code").asString()).isEqualTo("request_headers_too_large");
        assertThat(headers.get("error").get("message").asString())
                .contains("MR-GW-017", "8,192", "server.max-http-request-header-size");
        JsonNode anthropic = refused(gateway, "POST /v1/messages" + head + large, "431");
        assertThat(anthropic.get("type").asString()).isEqualTo("error");
        JsonNode malformed = refused(gateway, "GET /v1/models HTTP/one\r\n\r\n", "400");
        assertThat(malformed.get("error").get("message").asString()).contains("MR-GW-018");
        JsonNode chunk = refused(
                gateway, "POST /v1/chat/completions" + head + "Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "400");
        assertThat(chunk.get("error").get("code").asString()).isEqualTo("malformed_http");
    }

    /** What came before the break is a whole JSON document, and is not run. */
    @Test
    void aBrokenBodyIsNotTakenForAWholeOne(Gateway gateway) throws Exception {
        String body = "{\"model\":\"echo\",\"prompt\":\"broken body\"}";
        String head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
        JsonNode answer =
                refused(gateway, head + Integer.toHexString(body.length()) + "\r\n" + body + "\r\nxyz\r\n", "400");
        assertThat(answer.get("error").get("code").asString()).isEqualTo("malformed_http");
        gateway.post("/v1/completions", "{\"model\":\"echo\",\"prompt\":\"behind the broken body\"}");
        gateway.cluster().await(request -> request.getSubmit().getPromptText().equals("behind the broken body"));
        assertThat(gateway.cluster().requests())
                .noneMatch(request -> request.getSubmit().getPromptText().equals("broken body"));
    }

    /** As above, while the request before it has no answer yet. */
    @Test
    void aBrokenBodyInAPipelineIsNotTakenForAWholeOne(Gateway gateway) throws Exception {
        String whole = "{\"model\":\"echo\",\"prompt\":\"before the broken body\"}";
        String body = "{\"model\":\"echo\",\"prompt\":\"broken pipelined body\"}";
        String head = "POST /v1/completions HTTP/1.1\r\nHost: x\r\n";
        String answers = raw(
                gateway,
                head + "Content-Length: " + whole.length() + "\r\n\r\n" + whole + head
                        + "Transfer-Encoding: chunked\r\n\r\n" + Integer.toHexString(body.length()) + "\r\n" + body
                        + "\r\nxyz\r\n");
        assertThat(answers).startsWith("HTTP/1.1 200").contains("HTTP/1.1 400").contains("malformed_http");
        assertThat(gateway.cluster().requests())
                .noneMatch(request -> request.getSubmit().getPromptText().equals("broken pipelined body"));
    }

    @Test
    void aBodyThatBreaksOffIsNoFaultOfOurs(Gateway gateway) throws Exception {
        String head = "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n";
        try (Logged logged = Logged.of("ROOT")) {
            refused(gateway, head + "Transfer-Encoding: chunked\r\n\r\n5\r\n{\"mod\r\nxyz\r\n", "400");
            try (var socket = new Socket("127.0.0.1", gateway.port())) {
                socket.getOutputStream()
                        .write((head + "Content-Length: 100\r\n\r\n{").getBytes(StandardCharsets.US_ASCII));
            }
            assertThat(gateway.get("/v1/models").statusCode()).isEqualTo(200);
            assertThat(logged.errors()).isEmpty();
        }
    }

    @Test
    void aTargetThatIsNoUriIsToldSo(Gateway gateway) throws Exception {
        JsonNode answer =
                refused(gateway, "GET /v1/models/%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "400");
        assertThat(answer.get("error").get("message").asString()).contains("MR-GW-018", "its path");
    }

    @Test
    void aPartThatCannotBeReadIsTheClients(Gateway gateway) throws Exception {
        String named = "Content-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n";
        List<String> parts = List.of(
                "X: y\r\n",
                "Content-Disposition: x; nam\r\n",
                named + "Content-Type: ;\r\n",
                named + "X: " + "y".repeat(20_000) + "\r\n");
        try (Logged logged = Logged.of("ROOT")) {
            for (String head : parts) {
                for (String end : List.of("\r\n--b--\r\n", "")) {
                    HttpResponse<String> answer = gateway.http()
                            .send(
                                    HttpRequest.newBuilder(gateway.uri("/v1/files"))
                                            .header("Content-Type", "multipart/form-data; boundary=b")
                                            .POST(HttpRequest.BodyPublishers.ofString("--b\r\n" + head + "\r\nx" + end))
                                            .build(),
                                    HttpResponse.BodyHandlers.ofString());
                    assertThat(answer.statusCode())
                            .as(head + end + answer.body())
                            .isEqualTo(400);
                    assertThat(json.readTree(answer.body())
                                    .get("error")
                                    .get("code")
                                    .asString())
                            .isEqualTo("invalid_multipart");
                }
            }
            assertThat(logged.errors()).isEmpty();
        }
    }

    @Test
    void anUploadOfATypeThatIsNoneIsTheClients(Gateway gateway) throws Exception {
        for (String type : List.of("a/b/c", "multipart/form-data; boundary=")) {
            HttpResponse<String> answer = gateway.http()
                    .send(
                            HttpRequest.newBuilder(gateway.uri("/v1/files"))
                                    .header("Content-Type", type)
                                    .POST(HttpRequest.BodyPublishers.ofString("x"))
                                    .build(),
                            HttpResponse.BodyHandlers.ofString());
            assertThat(answer.statusCode()).as(type + answer.body()).isIn(400, 415);
        }
    }

    @Test
    void aWebSocketOfAnotherVersionIsToldWhichOneThereIs(Gateway gateway) throws Exception {
        String hello = "GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 12\r\n\r\n";
        try (Logged logged = Logged.of("ROOT")) {
            JsonNode answer = refused(gateway, hello, "426");
            assertThat(answer.get("error").get("message").asString()).contains("version 13");
            assertThat(logged.errors()).isEmpty();
        }
    }

    /** A client that goes between two fragments of a message. */
    @Test
    void aWebSocketThatEndsWithinAMessageIsNoFaultOfOurs(Gateway gateway) throws Exception {
        String hello = "GET /v1/responses HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        try (Logged logged = Logged.of("ROOT")) {
            for (int i = 0; i < 20; i++) {
                try (var socket = new Socket("127.0.0.1", gateway.port())) {
                    socket.setSoTimeout(20_000);
                    socket.getOutputStream().write(hello.getBytes(StandardCharsets.US_ASCII));
                    assertThat(socket.getInputStream().read()).isEqualTo('H');
                    socket.getOutputStream().write(new byte[] {1, (byte) 0x81, 0, 0, 0, 0, 'x'});
                }
            }
            assertThat(gateway.get("/v1/models").statusCode()).isEqualTo(200);
            assertThat(logged.errors()).isEmpty();
        }
    }

    @Test
    void wrongMethodsAreToldInTheShapeOfTheApi(Gateway gateway) throws Exception {
        HttpResponse<String> answer = gateway.get("/v1/messages");
        assertThat(answer.statusCode()).isEqualTo(405);
        assertThat(answer.headers().firstValue("allow")).hasValue("POST");
        assertThat(json.readTree(answer.body()).get("type").asString()).isEqualTo("error");
    }

    @Test
    void theLimitsOfHttpAreThoseConfigured(Gateway gateway) throws Exception {
        try (var strict = gateway.another(
                "server.netty.max-initial-line-length=100B",
                "server.max-http-request-header-size=200B",
                "server.netty.idle-timeout=300ms")) {
            int port = Integer.parseInt(strict.getEnvironment().getRequiredProperty("local.server.port"));
            try (var socket = new Socket("127.0.0.1", port)) {
                socket.setSoTimeout(20_000);
                socket.getOutputStream()
                        .write(("GET /" + "x".repeat(120) + " HTTP/1.1\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
                assertThat(new String(socket.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                        .startsWith("HTTP/1.1 414")
                        .contains("more than 100 bytes");
            }
            try (var silent = new Socket("127.0.0.1", port)) {
                silent.setSoTimeout(20_000);
                silent.getOutputStream().write("GET /health HTTP/1.1\r\nHo".getBytes(StandardCharsets.US_ASCII));
                assertThat(silent.getInputStream().read())
                        .as("closed by the server")
                        .isNegative();
            }
        }
    }
}
