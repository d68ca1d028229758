package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import ch.qos.logback.classic.Level;
import ch.qos.logback.classic.Logger;
import ch.qos.logback.classic.spi.ILoggingEvent;
import ch.qos.logback.core.AppenderBase;
import io.millrace.standalone.telemetry.OtlpReceiver;
import io.millrace.standalone.telemetry.OtlpReceiver.Received;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Predicate;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.slf4j.LoggerFactory;

/** Spans, exemplars and log lines of requests, received over OTLP as a collector would. */
class TraceTest {

    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private static final String CALLER = "b7ad6b7169203331";
    private static final String STATE = "vendor=kept";
    private static final String MARKER = "zebra-in-the-prompt";

    /** Hops of the blueprint's trace, by how their spans are named, and the part that writes them. */
    private static final Map<String, String> HOPS = Map.of(
            "POST /v1/chat/completions", "millrace-gateway",
            "admission", "millrace-gateway",
            "send requests", "millrace-gateway",
            "process requests", "millrace-router",
            "router queue", "millrace-router",
            "route", "millrace-router",
            "process assignments", "millrace-worker",
            "worker queue", "millrace-worker",
            "prefill", "millrace-worker",
            "decode", "millrace-worker");

    @TempDir
    static Path dir;

    private static final List<String> LINES = new CopyOnWriteArrayList<>();
    private static OtlpReceiver receiver;
    private static SystemUnderTest system;
    private static AppenderBase<ILoggingEvent> appender;
    private static Logger ours;

    @BeforeAll
    static void start() throws Exception {
        receiver = OtlpReceiver.start();
        system = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.models[0]",
                        "mock:alpha",
                        "millrace.telemetry.otlp-endpoint",
                        receiver.endpoint(),
                        "millrace.worker.debug-endpoints",
                        true,
                        "millrace.telemetry.step-every",
                        1,
                        "millrace.telemetry.export-interval",
                        "50ms"),
                "alpha");
        // Spring sets the log up anew as it starts.
        listen();
        var answer = system.post(
                "/v1/chat/completions",
                "{\"model\":\"alpha\",\"max_tokens\":8,\"ignore_eos\":true,\"stop\":[\"" + MARKER
                        + "-stop\"],\"messages\":[{\"role\":\"user\",\"content\":\"" + MARKER + "\"}]}",
                "traceparent",
                "00-" + TRACE + "-" + CALLER + "-01",
                "tracestate",
                STATE,
                "Idempotency-Key",
                "traced");
        assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);
        for (var hop : HOPS.entrySet()) {
            receiver.await(
                    hop.getKey(),
                    s -> s.trace().equals(TRACE)
                            && s.service().equals(hop.getValue())
                            && s.name().equals(hop.getKey()));
        }
    }

    /** Every line of our loggers at the finest level. */
    private static void listen() {
        ours = (Logger) LoggerFactory.getLogger("io.millrace");
        appender = new AppenderBase<>() {
            @Override
            protected void append(ILoggingEvent event) {
                LINES.add(event.getLoggerName() + " " + event.getFormattedMessage() + " " + event.getKeyValuePairs());
            }
        };
        appender.start();
        ours.addAppender(appender);
        requestLines().setLevel(Level.INFO);
    }

    private static Logger requestLines() {
        return (Logger) LoggerFactory.getLogger("io.millrace.requests");
    }

    @AfterAll
    static void stop() {
        if (ours != null) {
            ours.detachAppender(appender);
            requestLines().setLevel(Level.WARN);
        }
        if (system != null) {
            system.close();
        }
        receiver.close();
    }

    private static Received span(String name) {
        return receiver.of(TRACE).stream()
                .filter(each -> each.name().equals(name))
                .findFirst()
                .orElseThrow();
    }

    @Test
    void oneRequestIsOneTreeWithEveryHop() {
        Map<String, Received> spans = new HashMap<>();
        receiver.of(TRACE).forEach(each -> spans.put(each.id(), each));
        for (Received each : spans.values()) {
            String parent = each.parent();
            int steps = 0;
            while (!parent.equals(CALLER)) {
                assertThat(spans).as("parent of '%s'", each.name()).containsKey(parent);
                parent = spans.get(parent).parent();
                assertThat(++steps).isLessThan(20);
            }
        }
        assertThat(spans.values().stream().filter(s -> s.parent().equals(CALLER)))
                .as("spans right under the caller's")
                .hasSize(1);
    }

    @Test
    void everyRecordOfARequestCarriesItsTraceInW3cHeaders() throws Exception {
        List<SeenRecord> records = recordsOf(TRACE, "RESULT");

        assertThat(records)
                .extracting(SeenRecord::kind)
                .contains("SUBMIT", "ADMIT", "DISPATCH", "CLAIM", "TOKENS", "END", "RESULT");
        assertThat(records).allSatisfy(record -> {
            assertThat(record.traceparent()).matches("00-" + TRACE + "-[0-9a-f]{16}-01");
            assertThat(record.tracestate()).isEqualTo(STATE);
        });
        String worker = span("process assignments").id();
        assertThat(records)
                .filteredOn(record -> List.of("CLAIM", "TOKENS", "END").contains(record.kind()))
                .as("written by the worker's span")
                .allMatch(record -> record.traceparent().contains(worker));
    }

    @Test
    void recordsOfWhoComesBackCarryTheTraceOfThatCall() throws Exception {
        String deleting = "11" + TRACE.substring(2);
        String body = system.post("/v1/responses", "{\"model\":\"alpha\",\"max_output_tokens\":4,\"input\":\"kept\"}")
                .body();
        Matcher id = Pattern.compile("\"id\":\"(resp_[^\"]+)\"").matcher(body);
        assertThat(id.find()).as(body).isTrue();
        system.delete("/v1/responses/" + id.group(1), "traceparent", "00-" + deleting + "-" + CALLER + "-01");

        assertThat(recordsOf(deleting, "TOMBSTONE"))
                .extracting(SeenRecord::kind)
                .containsExactlyInAnyOrder("ATTACH", "DUP", "DELETE", "TOMBSTONE");
    }

    /** Up to the last one. */
    private static List<SeenRecord> recordsOf(String trace, String last) throws Exception {
        Predicate<SeenRecord> ofTrace = record -> record.traceparent().contains(trace);
        return SeenRecord.read(
                        system.bootstrap(),
                        seen -> seen.stream()
                                .anyMatch(ofTrace.and(record -> record.kind().equals(last))))
                .stream()
                .filter(ofTrace)
                .toList();
    }

    @Test
    void spansCarryTheAttributesOfTheConventions() {
        for (String name : List.of("POST /v1/chat/completions", "process assignments")) {
            Received span = span(name);
            assertThat(span.attribute("gen_ai.operation.name")).as(name).isEqualTo("chat");
            assertThat(span.attribute("gen_ai.provider.name")).as(name).isEqualTo("millrace");
            assertThat(span.attribute("gen_ai.request.model")).as(name).isEqualTo("alpha");
            assertThat(span.attribute("gen_ai.request.max_tokens")).as(name).isEqualTo("8");
            assertThat(span.attribute("gen_ai.usage.output_tokens")).as(name).isEqualTo("8");
            assertThat(span.attribute("gen_ai.response.finish_reasons"))
                    .as(name)
                    .contains("length");
        }
        assertThat(span("POST /v1/chat/completions").attribute("gen_ai.response.id"))
                .startsWith("chatcmpl-");
        assertMessaging("send requests", "send", "requests");
        assertMessaging("process requests", "process", "requests");
        assertMessaging("route", "send", "assignments");
        assertMessaging("process assignments", "process", "assignments");
        assertThat(span("process assignments").attribute("messaging.kafka.offset"))
                .matches("\\d+");
        assertThat(span("prefill").attribute("gen_ai.usage.input_tokens")).matches("[1-9]\\d*");
    }

    private static void assertMessaging(String name, String operation, String topic) {
        Received span = span(name);
        assertThat(span.attribute("messaging.system")).as(name).isEqualTo("kafka");
        assertThat(span.attribute("messaging.operation.name")).as(name).isEqualTo(operation);
        assertThat(span.attribute("messaging.operation.type")).as(name).isEqualTo(operation);
        assertThat(span.attribute("messaging.destination.name")).as(name).isEqualTo(topic);
        assertThat(span.attribute("messaging.kafka.message.key")).as(name).hasSize(36);
    }

    @Test
    void anEngineStepIsATraceOfItsOwnThatLinksToTheRequestsInIt() throws Exception {
        String execution = span("process assignments").id();
        Received step = receiver.await(
                "a step with the request in it",
                s -> s.name().equals("engine step") && s.links().contains(execution));

        assertThat(step.parent()).isEmpty();
        assertThat(step.trace()).isNotEqualTo(TRACE);
        assertThat(step.attribute("millrace.step.sequences")).isEqualTo("1");
        assertThat(step.attribute("millrace.kv.blocks_used")).matches("[1-9]\\d*");
        assertThat(Integer.parseInt(step.attribute("millrace.step.decode_tokens"))
                        + Integer.parseInt(step.attribute("millrace.step.prefill_tokens")))
                .isPositive();
        receiver.await(
                "its model call", s -> s.name().equals("model") && s.parent().equals(step.id()));
    }

    @Test
    void measurementsLeadToTheTraceByExemplars() throws Exception {
        HttpResponse<String> metrics = HttpClient.newHttpClient()
                .send(
                        HttpRequest.newBuilder(URI.create(system.url() + "/actuator/prometheus"))
                                .header("Accept", "application/openmetrics-text; version=1.0.0")
                                .build(),
                        HttpResponse.BodyHandlers.ofString());

        for (String histogram : List.of(
                "millrace_time_to_first_token_seconds",
                "millrace_e2e_request_latency_seconds",
                "millrace_worker_time_to_first_token_seconds",
                "millrace_request_queue_time_seconds",
                "millrace_request_prefill_time_seconds",
                "millrace_request_decode_time_seconds")) {
            assertThat(metrics.body().lines())
                    .as(histogram)
                    .anyMatch(line -> line.startsWith(histogram + "_bucket") && line.contains("trace_id=\"" + TRACE));
        }
        assertThat(metrics.body().lines())
                .as("Prometheus takes exemplars of buckets and counters only")
                .filteredOn(line -> line.contains("# {"))
                .allMatch(line -> line.matches("\\w+_(bucket|total)\\{.*"));
    }

    @Test
    void aProfileOfTheEngineIsATimelineThatChromeReads() throws Exception {
        var recording = CompletableFuture.supplyAsync(() -> post("/debug/profile?steps=4&seconds=20"));
        while (!recording.isDone()) {
            system.post(
                    "/v1/completions",
                    "{\"model\":\"alpha\",\"max_tokens\":4,\"ignore_eos\":true,\"prompt\":\"profiled\"}");
        }
        assertThat(recording.get().statusCode()).isEqualTo(200);
        assertThat(recording.get().body())
                .startsWith("{\"displayTimeUnit\"")
                .contains("\"prefill step\"", "\"plan\"", "\"steps\":4");

        assertThat(post("/debug/profile?steps=0").body()).contains("MR-PROF-004", "1 to 1000");
        assertThat(post("/debug/profile?model=beta").statusCode()).isEqualTo(404);
    }

    private static HttpResponse<String> post(String path) {
        try {
            return system.post(path, "");
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Test
    void eachRequestHasALineOfTheGatewayAndOfTheWorkerWithItsTrace() {
        for (String part : List.of("gateway", "worker")) {
            assertThat(LINES)
                    .as(part)
                    .filteredOn(line -> line.startsWith("io.millrace.requests." + part) && line.contains(TRACE))
                    .singleElement()
                    .asString()
                    .contains("output_tokens=\"8\"", "model=\"alpha\"", "prompt_tokens");
        }
    }

    @Test
    void noTextOfThePromptStandsInASpanOrALogLine() {
        assertThat(LINES).isNotEmpty().noneMatch(line -> line.contains("zebra"));
        assertThat(receiver.all())
                .isNotEmpty()
                .noneMatch(each -> each.span().toString().contains("zebra"));
    }
}
