package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.auth.KeyFile;
import io.millrace.gateway.auth.Scope;
import io.millrace.gateway.limits.TenantLimits;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.gateway.testing.Logged;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.net.http.WebSocketHandshakeException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.context.ConfigurableApplicationContext;

/** What requests pass before they are answered: keys of a file, scopes, origins, and the headers of every answer. */
@ExtendWith(GatewayFixture.class)
@Timeout(60)
@SuppressWarnings("NullAway.Init") // set by start()
class EdgeTest {

    private static final String BODY = "{\"model\":\"echo\",\"prompt\":\"p\"}";
    private static final String ORIGIN = "https://app.example.org";

    @TempDir
    static Path dir;

    /** A gateway with a file of keys that lets some other origins in. */
    private static ConfigurableApplicationContext keyed;

    private static At at;
    private static String whole;
    private static String narrow;
    private static String other;
    private static String admin;
    private static String responses;
    private static String limited;

    @BeforeAll
    static void start(Gateway gateway) throws Exception {
        whole = key("alice", Scope.INFERENCE, TenantLimits.NONE);
        narrow = key("alice", Scope.CHAT, TenantLimits.NONE);
        other = key("alice", Scope.INFERENCE, TenantLimits.NONE, "alpha", "b*");
        admin = key("alice", Scope.ADMIN, TenantLimits.NONE);
        responses = key("alice", Scope.RESPONSES, TenantLimits.NONE);
        limited = key("bob", Scope.INFERENCE, new TenantLimits(2, 100_000, 0));
        keyed = gateway.another(
                "millrace.gateway.keys-file=" + file().path(),
                "millrace.gateway.cors-origins=https://*.example.org,http://localhost:3000");
        at = At.of(gateway, keyed);
    }

    @AfterAll
    static void stop() {
        if (keyed != null) {
            keyed.close();
        }
    }

    private record At(Gateway gateway, URI root) {

        static At of(Gateway gateway, ConfigurableApplicationContext context) throws Exception {
            URI root =
                    URI.create("http://127.0.0.1:" + context.getEnvironment().getRequiredProperty("local.server.port"));
            var at = new At(gateway, root);
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (at.get("/health").statusCode() != 200) {
                assertThat(System.nanoTime()).isLessThan(end);
                Thread.sleep(20);
            }
            return at;
        }

        HttpResponse<String> send(String method, String path, String body, String... headers) throws Exception {
            HttpRequest.Builder request = HttpRequest.newBuilder(root.resolve(path))
                    .timeout(Duration.ofSeconds(30))
                    .method(
                            method,
                            body.isEmpty()
                                    ? HttpRequest.BodyPublishers.noBody()
                                    : HttpRequest.BodyPublishers.ofString(body));
            if (headers.length > 0) {
                request.headers(headers);
            }
            return gateway.http().send(request.build(), HttpResponse.BodyHandlers.ofString());
        }

        HttpResponse<String> get(String path, String... headers) throws Exception {
            return send("GET", path, "", headers);
        }

        HttpResponse<String> complete(String... headers) throws Exception {
            return send("POST", "/v1/completions", BODY, headers);
        }
    }

    private static String header(HttpResponse<?> response, String name) {
        return response.headers().firstValue(name).orElse("");
    }

    private static KeyFile file() {
        return new KeyFile(dir.resolve("keys.json"));
    }

    private static String key(String tenant, Scope scope, TenantLimits limits, String... models) {
        return file().create(tenant, "", Set.of(scope), List.of(models), limits, null)
                .text()
                .whole();
    }

    @Test
    void keysOfTheFileOpenWhatTheyAreMadeForByEveryHeader() throws Exception {
        try (var logged = Logged.of("ROOT")) {
            assertThat(at.complete().statusCode()).isEqualTo(401);
            assertThat(header(at.complete(), "www-authenticate")).isEqualTo("Bearer");
            assertThat(at.complete("Authorization", "Bearer " + whole).statusCode())
                    .isEqualTo(200);
            assertThat(at.complete("x-api-key", whole).statusCode()).isEqualTo(200);
            assertThat(at.complete("x-api-key", whole + "1").body()).contains("\"code\":\"invalid_api_key\"");
            HttpResponse<String> outside = at.complete("x-api-key", narrow);
            assertThat(outside.statusCode()).isEqualTo(403);
            assertThat(outside.body()).contains("insufficient_permissions", "MR-GW-014", "'completions'");
            HttpResponse<String> model = at.complete("x-api-key", other);
            assertThat(model.statusCode()).isEqualTo(403);
            assertThat(model.body()).contains("model_not_allowed", "\"param\":\"model\"");
            assertThat(at.get("/v1/models", "x-api-key", other).body()).doesNotContain("\"echo\"");
            assertThat(at.get("/v1/models/echo", "x-api-key", other).statusCode())
                    .isEqualTo(403);
            assertThat(at.get("/v1/models/echo", "x-api-key", whole).body()).contains("\"context_length\":2048");
            assertThat(at.get("/v1/models").statusCode()).isEqualTo(401);
            assertThat(at.get("/health").statusCode()).isEqualTo(200);
            assertThat(at.get("/actuator/prometheus", "x-api-key", whole).statusCode())
                    .isEqualTo(403);
            assertThat(at.get("/actuator/prometheus", "x-api-key", admin).body())
                    .contains("millrace_request_errors_total{part=\"gateway\",status=\"403\"}");
            assertThat(at.get("/v1/models", "x-api-key", whole, "anthropic-version", "2023-06-01")
                            .body())
                    .contains("\"type\":\"model\"", "\"has_more\":false");
            assertThat(at.get("/v1/models", "anthropic-version", "2023-06-01").body())
                    .startsWith("{\"type\":\"error\",\"error\":{\"type\":\"authentication_error\"");
            assertThat(String.join("\n", logged.lines())).doesNotContain(whole.substring(16), narrow.substring(16));
        }
    }

    @Test
    void healthAndMetricsOnAPortOfTheirOwnNeedNoKeyAndNothingElseIsOpenThere(Gateway gateway) throws Exception {
        try (var apart = gateway.another("millrace.gateway.keys-file=" + file().path(), "management.server.port=0")) {
            String port = apart.getEnvironment().getRequiredProperty("local.management.port");
            var there = new At(gateway, URI.create("http://127.0.0.1:" + port));

            HttpResponse<String> metrics = there.get("/actuator/prometheus");
            assertThat(metrics.statusCode()).as(metrics.body()).isEqualTo(200);
            assertThat(metrics.body()).contains("part=\"gateway\"");
            assertThat(there.get("/actuator/health/liveness").statusCode()).isEqualTo(200);
            assertThat(there.get("/v1/models").statusCode()).isEqualTo(401);
            assertThat(there.complete().statusCode()).isEqualTo(401);
        }
    }

    @Test
    void aBrowsersSocketBringsItsKeyAsASubProtocolAndIsClosedToOtherOrigins(Gateway gateway) throws Exception {
        URI uri = URI.create("ws" + at.root().toString().substring(4) + "/v1/responses");

        Collected heard = new Collected();
        WebSocket socket = gateway.http()
                .newWebSocketBuilder()
                .header("Origin", ORIGIN)
                .subprotocols("millrace", "openai-insecure-api-key." + responses)
                .buildAsync(uri, heard)
                .get(20, TimeUnit.SECONDS);
        assertThat(socket.getSubprotocol()).isEqualTo("millrace");
        socket.sendText("{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"hi\"}", true);
        assertThat(heard.until("response.completed")).contains("wörld");
        file().change(responses.substring(3, 15), old -> null);
        String answer = "";
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (!answer.contains("invalid_api_key")) {
            heard.clear();
            socket.sendText("{\"type\":\"response.create\",\"model\":\"echo\",\"input\":\"hi\"}", true);
            answer = heard.until("\"type\":\"response.completed\"", "\"type\":\"error\"");
            assertThat(System.nanoTime()).as(answer).isLessThan(end);
            Thread.sleep(100);
        }
        socket.abort();
        assertThat(statusOf(gateway.http().newWebSocketBuilder().buildAsync(uri, new Collected())))
                .isEqualTo(401);
        assertThat(statusOf(gateway.http()
                        .newWebSocketBuilder()
                        .header("Origin", "https://evil.example.com")
                        .subprotocols("millrace", "openai-insecure-api-key." + responses)
                        .buildAsync(uri, new Collected())))
                .isEqualTo(403);
    }

    private static int statusOf(CompletableFuture<WebSocket> opening) {
        try {
            opening.orTimeout(20, TimeUnit.SECONDS).join();
            return 101;
        } catch (CompletionException e) {
            if (e.getCause() instanceof WebSocketHandshakeException refused) {
                return refused.getResponse().statusCode();
            }
            throw e;
        }
    }

    private static final class Collected implements WebSocket.Listener {

        private final StringBuilder text = new StringBuilder();

        @Override
        public synchronized CompletionStage<?> onText(WebSocket socket, CharSequence data, boolean last) {
            text.append(data);
            notifyAll();
            socket.request(1);
            return CompletableFuture.completedStage(null);
        }

        synchronized void clear() {
            text.setLength(0);
        }

        synchronized String until(String... any) throws InterruptedException {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
            while (List.of(any).stream().noneMatch(each -> text.indexOf(each) >= 0)) {
                assertThat(System.nanoTime()).as(text.toString()).isLessThan(end);
                wait(1_000);
            }
            return text.toString();
        }
    }

    @Test
    void pagesOfTheServersOwnOriginAndOfThoseConfiguredMayCall(Gateway gateway) throws Exception {
        At own = new At(gateway, gateway.uri(""));
        String self = own.root().toString();

        assertThat(own.complete("Origin", self).statusCode()).isEqualTo(200);
        assertThat(own.complete("Origin", self.replace("http:", "https:")).statusCode())
                .isEqualTo(200);
        for (String origin : List.of(ORIGIN, "null", "http://127.0.0.1:1", "nonsense")) {
            HttpResponse<String> no = own.complete("Origin", origin);
            assertThat(no.statusCode()).isEqualTo(403);
            assertThat(no.body()).contains("origin_not_allowed", "MR-GW-013");
            assertThat(no.headers().map()).doesNotContainKey("access-control-allow-origin");
        }
        HttpResponse<String> preflight = at.send(
                "OPTIONS",
                "/v1/chat/completions",
                "",
                "Origin",
                ORIGIN,
                "Access-Control-Request-Method",
                "POST",
                "Access-Control-Request-Headers",
                "authorization,content-type,x-stainless-os");
        assertThat(preflight.statusCode()).isEqualTo(204);
        assertThat(header(preflight, "access-control-allow-origin")).isEqualTo(ORIGIN);
        assertThat(header(preflight, "access-control-allow-methods")).isEqualTo("GET,POST,DELETE");
        assertThat(header(preflight, "access-control-allow-headers"))
                .isEqualTo("authorization, content-type, x-stainless-os");
        HttpResponse<String> stream = at.send(
                "POST",
                "/v1/chat/completions",
                "{\"model\":\"echo\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}",
                "Origin",
                ORIGIN,
                "x-api-key",
                whole);
        assertThat(stream.body()).endsWith("data: [DONE]\n\n");
        assertThat(header(stream, "access-control-allow-origin")).isEqualTo(ORIGIN);
        assertThat(header(stream, "vary")).isEqualTo("Origin");
        assertThat(header(stream, "access-control-expose-headers")).contains("x-request-id", "Retry-After");
        HttpResponse<String> error = at.send("POST", "/v1/completions", "{}", "Origin", ORIGIN, "x-api-key", whole);
        assertThat(error.statusCode()).isEqualTo(400);
        assertThat(header(error, "access-control-allow-origin")).isEqualTo(ORIGIN);
        assertThat(at.complete("Origin", "https://evil.org", "x-api-key", whole).statusCode())
                .isEqualTo(403);
    }

    @Test
    void everyAnswerHasAnIdAndTheClientsOwnWhereItIsOne(Gateway gateway) throws Exception {
        At open = new At(gateway, gateway.uri(""));

        assertThat(header(open.complete("X-Request-Id", "mine-1.2:3"), "x-request-id"))
                .isEqualTo("mine-1.2:3");
        for (String bad : List.of("x".repeat(129), "two words", "ümlaut", "a\"b")) {
            assertThat(header(open.complete("X-Request-Id", bad), "x-request-id"))
                    .matches("[0-9a-z]{30,}");
        }
        HttpResponse<String> missing = open.get("/nowhere", "X-Request-Id", "mine");
        assertThat(missing.statusCode()).isEqualTo(404);
        assertThat(header(missing, "x-request-id")).isEqualTo("mine");
        HttpResponse<String> models = open.get("/v1/models");
        assertThat(header(models, "x-request-id")).startsWith("req_");
        assertThat(header(models, "openai-version")).isEqualTo("2020-10-01");
        assertThat(Long.parseLong(header(models, "openai-processing-ms"))).isNotNegative();
        assertThat(models.headers().map()).doesNotContainKey("x-ratelimit-limit-requests");
    }

    @Test
    void limitsAreToldBeforeAndWhenTheyAreReached() throws Exception {
        HttpResponse<String> first = at.complete("x-api-key", limited);
        assertThat(first.statusCode()).isEqualTo(200);
        assertThat(header(first, "x-ratelimit-limit-requests")).isEqualTo("2");
        assertThat(header(first, "x-ratelimit-remaining-requests")).isEqualTo("1");
        assertThat(header(first, "x-ratelimit-reset-requests")).isEqualTo("30s");
        assertThat(header(first, "x-ratelimit-limit-tokens")).isEqualTo("100000");
        assertThat(Long.parseLong(header(first, "x-ratelimit-remaining-tokens")))
                .isBetween(99_000L, 100_000L);
        assertThat(header(at.complete("x-api-key", limited), "x-ratelimit-remaining-requests"))
                .isEqualTo("0");
        HttpResponse<String> third = at.complete("x-api-key", limited);
        assertThat(third.statusCode()).isEqualTo(429);
        assertThat(header(third, "x-ratelimit-remaining-requests")).isEqualTo("0");
        // Half a minute, and until both gateways have heard of it.
        assertThat(Integer.parseInt(header(third, "retry-after"))).isBetween(20, 31);
        assertThat(Integer.parseInt(header(third, "retry-after-ms"))).isBetween(20_000, 31_000);
        assertThat(at.send("POST", "/v1/completions", BODY, "x-api-key", limited, "anthropic-version", "2023-06-01")
                        .headers()
                        .map())
                .containsKeys("anthropic-ratelimit-requests-remaining", "request-id")
                .doesNotContainKey("openai-version");
    }

    @Test
    void limitsHoldOverAllGatewaysTogether(Gateway gateway) throws Exception {
        int limit = 10;
        String key = file().create(
                        "shared", "", Set.of(Scope.INFERENCE), List.of(), new TenantLimits(limit, 0, 0), null)
                .text()
                .whole();
        String keys = "millrace.gateway.keys-file=" + file().path();
        try (var one = gateway.another(keys);
                var other = gateway.another(keys)) {
            List<At> both = List.of(At.of(gateway, one), At.of(gateway, other));
            long began = System.nanoTime();
            int let = 0;
            for (int sent = 0, refused = 0; refused < 2; sent++) {
                HttpResponse<String> answer = both.get(sent % 2).complete("x-api-key", key);
                assertThat(answer.statusCode()).isIn(200, 429);
                let += answer.statusCode() == 200 ? 1 : 0;
                boolean usedUp = answer.body().contains("Your limit of 10 requests per minute");
                refused = usedUp ? refused + 1 : 0;
                assertThat(sent).isLessThan(100);
            }
            double cameBack = (System.nanoTime() - began) / 60e9 * limit;
            // One more for each further gateway, of which the fixture's is one.
            assertThat((double) let).isBetween((double) limit, limit + 2 + cameBack);
        }
    }
}
