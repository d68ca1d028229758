package io.millrace.gateway.api;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.gateway.testing.Gateway;
import io.millrace.gateway.testing.Logged;
import java.io.InputStream;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Kafka away: a coded 503 in bounded time, then service again, without a restart. */
@Timeout(120)
class OutageTest {

    private static final String BODY =
            "{\"model\":\"echo\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"stream\":true}";

    @Test
    void withoutKafkaCallsEndIn503AndRecover() throws Exception {
        try (Gateway gateway =
                Gateway.start("millrace.gateway.append-timeout=2s", "millrace.gateway.kafka-silence=5s")) {
            assertThat(gateway.post("/v1/chat/completions", BODY).statusCode()).isEqualTo(200);
            gateway.broker().stop();
            long start = System.nanoTime();
            HttpResponse<String> unconfirmed = gateway.post("/v1/chat/completions", BODY);
            assertThat(unconfirmed.statusCode()).as(unconfirmed.body()).isEqualTo(503);
            assertThat(unconfirmed.body()).contains("log_unavailable", "MR-GW-001");
            assertThat(unconfirmed.headers().firstValue("retry-after")).isPresent();
            assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(15));
            await(() -> gateway.get("/actuator/health/readiness").statusCode() == 503);
            assertThat(gateway.get("/actuator/health/liveness").statusCode()).isEqualTo(200);
            start = System.nanoTime();
            assertThat(gateway.post("/v1/chat/completions", BODY).statusCode()).isEqualTo(503);
            assertThat(System.nanoTime() - start).isLessThan(TimeUnit.SECONDS.toNanos(2));
            gateway.broker().resume();
            await(() -> gateway.post("/v1/chat/completions", BODY).statusCode() == 200);
            assertThat(gateway.get("/actuator/health/readiness").statusCode()).isEqualTo(200);
        }
    }

    @Test
    void aClientThatLeavesDuringAnOutageIsDetachedAfterIt() throws Exception {
        try (Gateway gateway = Gateway.startImpatient(Duration.ofSeconds(2));
                Logged leaves = Logged.of("io.millrace.gateway.node.Leaves")) {
            gateway.serve("endless", journal -> journal.admit().claim().token(0, "first"));
            HttpResponse<InputStream> response = gateway.http()
                    .send(
                            gateway.request(
                                            "/v1/completions",
                                            "{\"model\":\"endless\",\"prompt\":\"x\",\"stream\":true}")
                                    .build(),
                            HttpResponse.BodyHandlers.ofInputStream());
            String id = response.headers().firstValue("x-request-id").orElseThrow();
            assertThat(response.body().read()).isPositive();
            gateway.broker().stop();
            response.body().close();
            await(() -> leaves.lines().stream()
                    .anyMatch(line -> line.contains("DETACH of request " + id) && line.contains("repeated")));
            gateway.broker().resume();
            await(() -> gateway.cluster().requests().stream()
                    .anyMatch(request -> request.getId().equals(id) && request.hasDetach()));
        }
    }

    private interface Check {
        boolean holds() throws Exception;
    }

    private static void await(Check check) throws Exception {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
        while (!check.holds()) {
            assertThat(System.nanoTime()).as("in time").isLessThan(deadline);
            TimeUnit.MILLISECONDS.sleep(50);
        }
    }
}
