package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import java.io.BufferedReader;
import java.io.InputStreamReader;
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
            assertThat(status(gateway, url + "/", "none")).isEqualTo(200);
            assertThat(status(gateway, url + "/console/app.js", "none")).isEqualTo(200);
        }
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
