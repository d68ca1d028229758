package io.millrace.shared.telemetry;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.sun.net.httpserver.HttpServer;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.TraceContext;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.context.Context;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

class TelemetryTest {

    private static final String PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    @Test
    void withoutAnEndpointSpansAreNotRecordedAndTheCallersContextPassesThrough() {
        try (var telemetry = Telemetry.of(Telemetry.GATEWAY, TelemetrySettings.OFF)) {
            Context caller = Telemetry.fromHeaders(PARENT, null);
            Span span = telemetry.tracer().spanBuilder("x").setParent(caller).startSpan();

            assertThat(telemetry.enabled()).isFalse();
            assertThat(span.isRecording()).isFalse();
            assertThat(Telemetry.toProto(span).getTraceparent()).isEqualTo(PARENT);
        }
    }

    @Test
    void contextsGoThroughTheMessageUnchanged() {
        TraceContext there = TraceContext.newBuilder()
                .setTraceparent(PARENT)
                .setTracestate("vendor=1")
                .build();

        assertThat(Telemetry.toProto(Telemetry.fromProto(there))).isEqualTo(there);
        assertThat(Telemetry.toProto(Context.root())).isEqualTo(TraceContext.getDefaultInstance());
        assertThat(Telemetry.fromHeaders("rubbish", null)).isEqualTo(Context.root());
    }

    @Test
    void spansReachTheReceiverUnderTheServicesName() throws Exception {
        var bodies = new LinkedBlockingQueue<byte[]>();
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/v1/traces", exchange -> {
            bodies.add(exchange.getRequestBody().readAllBytes());
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        String endpoint = "http://127.0.0.1:" + server.getAddress().getPort();
        try (var telemetry =
                Telemetry.of(Telemetry.ROUTER, new TelemetrySettings(endpoint, 1, 10, 50, Map.of("node", "r1")))) {
            telemetry.tracer().spanBuilder("route tale").startSpan().end();
            byte[] body = bodies.poll(10, TimeUnit.SECONDS);

            assertThat(body).isNotNull();
            assertThat(new String(body, StandardCharsets.ISO_8859_1))
                    .contains("millrace-router")
                    .contains("route tale")
                    .contains("r1");
        } finally {
            server.stop(0);
        }
    }

    @Test
    void aRatioOfZeroRecordsOnlyWhatTheCallerSampled() {
        try (var telemetry =
                Telemetry.of(Telemetry.WORKER, new TelemetrySettings("http://127.0.0.1:9", 0, 60_000, 50, Map.of()))) {
            assertThat(telemetry.tracer().spanBuilder("a").startSpan().isRecording())
                    .isFalse();
            assertThat(telemetry
                            .tracer()
                            .spanBuilder("b")
                            .setParent(Telemetry.fromHeaders(PARENT, null))
                            .startSpan()
                            .isRecording())
                    .isTrue();
        }
    }

    @Test
    void impossibleSettingsAreRefusedWithTheirNumbers() {
        assertThatThrownBy(() -> new TelemetrySettings("", 1.5, 1_000, 50, Map.of()))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("1.5");
        assertThatThrownBy(() -> new TelemetrySettings("localhost:4317", 1, 1_000, 50, Map.of()))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("localhost:4317");
        assertThatThrownBy(() -> new TelemetrySettings("", 1, 0, 50, Map.of())).isInstanceOf(MillraceException.class);
        assertThatThrownBy(() -> new TelemetrySettings("", 1, 1_000, -1, Map.of()))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("-1");
    }

    @Test
    void theWholeTracesAddressIsTakenAsItIs() {
        assertThat(new TelemetrySettings("http://h:4318/", 1, 10, 50, Map.of()).tracesUrl())
                .isEqualTo("http://h:4318/v1/traces");
        assertThat(new TelemetrySettings("http://h:4318/v1/traces", 1, 10, 50, Map.of()).tracesUrl())
                .isEqualTo("http://h:4318/v1/traces");
    }
}
