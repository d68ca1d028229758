package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.GatewayFixture;
import io.millrace.shared.proto.RequestRecord;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.sdk.trace.data.SpanData;
import java.net.URI;
import java.net.http.HttpResponse;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** What operators rely on: traces, keys and limits, settings that are checked. */
@ExtendWith(GatewayFixture.class)
@Timeout(90)
class OperationTest {

    private static final String ECHO = "{\"model\":\"echo\",\"prompt\":\"secret words\"}";

    @Test
    void oneTraceFromTheClientToTheLog(Gateway gateway) throws Exception {
        String trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        HttpResponse<String> response = gateway.http()
                .send(
                        gateway.request("/v1/completions", ECHO)
                                .header("traceparent", "00-" + trace + "-00f067aa0ba902b7-01")
                                .build(),
                        HttpResponse.BodyHandlers.ofString());
        assertThat(response.statusCode()).isEqualTo(200);
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(10);
        List<SpanData> spans = List.of();
        while (spans.size() < 3 && System.nanoTime() < deadline) {
            spans = gateway.spans().stream()
                    .filter(span -> span.getTraceId().equals(trace))
                    .toList();
            TimeUnit.MILLISECONDS.sleep(5);
        }
        assertThat(spans)
                .extracting(SpanData::getName)
                .containsExactlyInAnyOrder("POST /v1/completions", "admission", "send requests");
        SpanData server = spans.stream()
                .filter(span -> span.getKind() == SpanKind.SERVER)
                .findFirst()
                .orElseThrow();
        SpanData send = spans.stream()
                .filter(span -> span.getKind() == SpanKind.PRODUCER)
                .findFirst()
                .orElseThrow();
        assertThat(server.getParentSpanId()).isEqualTo("00f067aa0ba902b7");
        assertThat(spans)
                .filteredOn(span -> span != server)
                .allSatisfy(span -> assertThat(span.getParentSpanId()).isEqualTo(server.getSpanId()));
        assertThat(server.getAttributes().get(AttributeKey.stringKey("gen_ai.request.model")))
                .isEqualTo("echo");
        assertThat(server.getAttributes().get(AttributeKey.longKey("gen_ai.usage.output_tokens")))
                .isEqualTo(4);
        assertThat(spans.toString()).doesNotContain("secret");
        String id = response.headers().firstValue("x-request-id").orElseThrow();
        RequestRecord record =
                gateway.cluster().await(request -> request.getId().equals(id));
        assertThat(record.getSubmit().getTrace().getTraceparent()).contains(trace, send.getSpanId());
    }

    @Test
    void keysNameTenantsAndLimitsHold(Gateway gateway) throws Exception {
        try (var limited = gateway.another(
                "millrace.gateway.api-keys.sesame=alice",
                "millrace.gateway.api-keys.[open-2]=bob",
                "millrace.gateway.tenant-requests-per-minute=2")) {
            URI uri = URI.create("http://127.0.0.1:" + limited.getEnvironment().getRequiredProperty("local.server.port")
                    + "/v1/completions");
            awaitReady(gateway, uri);
            assertThat(send(gateway, uri, null).statusCode()).isEqualTo(401);
            assertThat(send(gateway, uri, "wrong").body()).contains("invalid_api_key");
            HttpResponse<String> first = send(gateway, uri, "sesame");
            assertThat(first.statusCode()).as(first.body()).isEqualTo(200);
            String id = first.headers().firstValue("x-request-id").orElseThrow();
            var submit = gateway.cluster()
                    .await(request -> request.getId().equals(id))
                    .getSubmit();
            assertThat(submit.getTenant()).isEqualTo("alice");
            assertThat(submit.getCacheSalt()).isEqualTo("alice");
            assertThat(send(gateway, uri, "sesame").statusCode()).isEqualTo(200);
            HttpResponse<String> third = send(gateway, uri, "sesame");
            assertThat(third.statusCode()).isEqualTo(429);
            assertThat(third.body()).contains("rate_limit_exceeded");
            assertThat(third.headers().firstValue("retry-after")).isPresent();
            assertThat(send(gateway, uri, "open-2").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void aGatewayThatHasJustStartedWaitsForTheRouterBeforeItAnswers(Gateway gateway) throws Exception {
        for (int i = 0; i < 3; i++) {
            try (var fresh = gateway.another()) {
                URI uri = URI.create("http://127.0.0.1:"
                        + fresh.getEnvironment().getRequiredProperty("local.server.port") + "/v1/completions");
                HttpResponse<String> first = send(gateway, uri, null);
                assertThat(first.statusCode()).as(first.body()).isEqualTo(200);
            }
        }
    }

    private static void awaitReady(Gateway gateway, URI uri) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        URI health = uri.resolve("/health");
        while (gateway.http()
                        .send(
                                java.net.http.HttpRequest.newBuilder(health).build(),
                                HttpResponse.BodyHandlers.ofString())
                        .statusCode()
                != 200) {
            assertThat(System.nanoTime()).isLessThan(deadline);
            TimeUnit.MILLISECONDS.sleep(20);
        }
    }

    private static HttpResponse<String> send(Gateway gateway, URI uri, @org.jspecify.annotations.Nullable String key)
            throws Exception {
        var request = java.net.http.HttpRequest.newBuilder(uri)
                .header("Content-Type", "application/json")
                .POST(java.net.http.HttpRequest.BodyPublishers.ofString(ECHO));
        if (key != null) {
            request.header("Authorization", "Bearer " + key);
        }
        return gateway.http().send(request.build(), HttpResponse.BodyHandlers.ofString());
    }

    @Test
    void unknownSettingsAreRefused(Gateway gateway) {
        assertThatThrownBy(() -> gateway.another("millrace.gateway.no-such-setting=1"))
                .hasStackTraceContaining("no-such-setting");
        assertThatThrownBy(() -> gateway.another("millrace.gateway.body-max=9MB"))
                .hasStackTraceContaining("body-max must lie between");
    }
}
