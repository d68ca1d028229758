package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.URI;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** The console's page and its stream, without a browser. */
@ExtendWith(GatewayFixture.class)
@Timeout(90)
class ConsoleTest {

    private static final Pattern OWN = Pattern.compile("(?:src|href)=\"(/[^\"]*)\"|from \"\\./([^\"]+)\"");
    private static final String ELSEWHERE = "(?s).*(src|href)=\"https?:.*";

    @Test
    void thePageHasAllItNeedsAndNothingFromElsewhere(Gateway gateway) throws Exception {
        HttpResponse<String> page = gateway.get("/");
        assertThat(page.statusCode()).isEqualTo(200);
        assertThat(page.headers().firstValue("content-type")).hasValue("text/html;charset=utf-8");
        assertThat(page.headers().firstValue("content-security-policy").orElseThrow())
                .contains("default-src 'none'", "frame-ancestors 'none'");
        assertThat(page.body()).doesNotMatch(ELSEWHERE).doesNotContain("<style").doesNotContain(" style=");
        follow(gateway, page.body(), 12);
    }

    private static void follow(Gateway gateway, String text, int depth) throws Exception {
        Matcher named = OWN.matcher(text);
        while (named.find() && depth > 0) {
            String path = named.group(1) != null ? named.group(1) : "/console/" + named.group(2);
            HttpResponse<String> file = gateway.get(path);
            assertThat(file.statusCode()).as(path).isEqualTo(200);
            assertThat(file.body()).as(path).doesNotContain("innerHTML").doesNotContain("eval(");
            if (named.group(2) != null || path.endsWith(".js")) {
                follow(gateway, file.body(), depth - 6);
            }
        }
    }

    @Test
    void aFileThatTheBrowserHasIsNotSentAgain(Gateway gateway) throws Exception {
        String tag = gateway.get("/console/app.js").headers().firstValue("etag").orElseThrow();
        HttpRequest again = HttpRequest.newBuilder(gateway.uri("/console/app.js"))
                .header("If-None-Match", tag)
                .build();
        HttpResponse<String> answer = gateway.http().send(again, HttpResponse.BodyHandlers.ofString());
        assertThat(answer.statusCode()).isEqualTo(304);
        assertThat(answer.body()).isEmpty();
        assertThat(gateway.get("/console/../GatewayConfiguration.class").statusCode())
                .isEqualTo(404);
        assertThat(gateway.get("/console/none.js").statusCode()).isEqualTo(404);
    }

    @Test
    void theClusterIsStreamedAsTheLogShowsIt(Gateway gateway) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(gateway.uri("/cluster")).build();
        var answer = gateway.http().send(request, HttpResponse.BodyHandlers.ofInputStream());
        try (var lines = new BufferedReader(new InputStreamReader(answer.body(), StandardCharsets.UTF_8))) {
            next(lines, "\"name\":\"echo\"");
            next(lines, "\"node\":\"fake-router\",\"role\":\"router\"");
            gateway.post("/v1/completions", "{\"model\":\"echo\",\"prompt\":\"x\"}");
            String seen = next(lines, "\"name\":\"default\",\"admitted\":1");
            assertThat(seen).contains("\"ended\":1,\"tokens\":4}");
        }
    }

    private static String next(BufferedReader lines, String wanted) throws Exception {
        String line = "";
        while (!line.contains(wanted)) {
            line = lines.readLine();
        }
        return line;
    }

    @Test
    void withKeysTheClusterWantsTheScopeAdminAndThePageNone(Gateway gateway) throws Exception {
        try (var context = gateway.another("millrace.gateway.api-keys.sesame=alice")) {
            String url = "http://127.0.0.1:" + context.getEnvironment().getProperty("local.server.port");
            assertThat(status(gateway, url + "/cluster", "none")).isEqualTo(401);
            assertThat(status(gateway, url + "/cluster", "sesame")).isEqualTo(403);
            assertThat(status(gateway, url + "/cluster/traces/" + "a".repeat(32), "sesame"))
                    .isEqualTo(403);
            assertThat(status(gateway, url + "/", "none")).isEqualTo(200);
            assertThat(status(gateway, url + "/console/app.js", "none")).isEqualTo(200);
        }
    }

    @Test
    void aTraceComesFromJaegerWhereItHasItAndElseFromTheJournal(Gateway gateway) throws Exception {
        String known = "a".repeat(32);
        String large = "b".repeat(32);
        HttpServer jaeger = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        jaeger.createContext("/", exchange -> {
            String path = exchange.getRequestURI().getPath();
            byte[] body = path.endsWith(large) ? new byte[9 << 20] : """
                    {"data":[{"spans":[{"spanID":"1","operationName":"POST /v1/completions","processID":"p","startTime":5,
                    "duration":7,"references":[],"tags":[]}],"processes":{"p":{"serviceName":"millrace-gateway"}}}]}
                    """.getBytes(StandardCharsets.UTF_8);
            boolean there = path.equals("/api/traces/" + known) || path.endsWith(large);
            exchange.sendResponseHeaders(there ? 200 : 404, there ? body.length : -1);
            try (exchange) {
                if (there) {
                    exchange.getResponseBody().write(body);
                }
            } catch (IOException cut) {
                // The gateway reads so much and no more.
            }
        });
        jaeger.start();
        String property = "millrace.gateway.jaeger=http://127.0.0.1:"
                + jaeger.getAddress().getPort() + "/";
        try (var context = gateway.another(property)) {
            String url = "http://127.0.0.1:" + context.getEnvironment().getProperty("local.server.port");
            String answer = gateway.post("/v1/completions", "{\"model\":\"echo\",\"prompt\":\"x\"}")
                    .body();
            String request = answer.replaceAll("(?s).*\"id\":\"(cmpl-[0-9a-f]+)\".*", "?request=$1");
            assertThat(trace(gateway, url, known))
                    .contains("\"source\":\"jaeger\",\"complete\":true", "POST /v1/completions", "\"took_us\":7");
            assertThat(trace(gateway, url, "c".repeat(32) + request))
                    .contains(
                            "\"source\":\"journal\",\"complete\":true",
                            "no such trace",
                            "text completion",
                            "attempt 1 on");
            assertThat(trace(gateway, url, large + request))
                    .contains("\"source\":\"journal\"", "Jaeger does not answer");
            assertThat(trace(gateway, url, "c".repeat(32))).contains("trace_not_found");
            assertThat(trace(gateway, url, "c".repeat(32) + "?request=cmpl-0000" + "d".repeat(32)))
                    .contains("trace_not_found");
            assertThat(trace(gateway, url, "C")).contains("32 hex digits");
            assertThat(trace(gateway, url, known + "?request=1")).contains("no id of an answer");
        } finally {
            jaeger.stop(0);
        }
    }

    private static String trace(Gateway gateway, String url, String what) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url + "/cluster/traces/" + what))
                .build();
        return gateway.http()
                .send(request, HttpResponse.BodyHandlers.ofString())
                .body();
    }

    private static int status(Gateway gateway, String url, String key) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Authorization", "Bearer " + key)
                .build();
        return gateway.http()
                .send(request, HttpResponse.BodyHandlers.discarding())
                .statusCode();
    }
}
