package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.trace.v1.ResourceSpans;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Path;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.zip.GZIPInputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The spans of one request, received over OTLP as a collector would. */
class TraceTest {

    private static final String TRACE = "0af7651916cd43dd8448eb211c80319c";
    private static final String CALLER = "b7ad6b7169203331";

    /** Hops of the blueprint's trace, by how their spans are named, and the part that writes them. */
    private static final Map<String, String> HOPS = Map.of(
            "POST /v1/chat/completions", "millrace-gateway",
            "admission", "millrace-gateway",
            "send requests", "millrace-gateway",
            "router queue", "millrace-router",
            "route", "millrace-router",
            "worker queue", "millrace-worker",
            "prefill", "millrace-worker",
            "decode", "millrace-worker");

    @TempDir
    Path dir;

    private record Received(String service, Span span) {}

    @Test
    void oneRequestIsOneTreeWithEveryHop() throws Exception {
        Map<String, Received> spans = new ConcurrentHashMap<>();
        HttpServer receiver = receiver(spans);
        try (var system = SystemUnderTest.start(
                dir,
                Map.of(
                        "millrace.worker.models[0]", "mock:alpha",
                        "millrace.telemetry.otlp-endpoint",
                                "http://127.0.0.1:" + receiver.getAddress().getPort(),
                        "millrace.telemetry.export-interval", "50ms"),
                "alpha")) {
            var answer = system.post(
                    "/v1/chat/completions",
                    "{\"model\":\"alpha\",\"max_tokens\":8,\"ignore_eos\":true,\"messages\":[{\"role\":\"user\",\"content\":\"trace me\"}]}",
                    "traceparent",
                    "00-" + TRACE + "-" + CALLER + "-01");
            assertThat(answer.statusCode()).as(answer.body()).isEqualTo(200);

            awaitHops(spans);
            assertTree(spans);
        } finally {
            receiver.stop(0);
        }
    }

    private static void awaitHops(Map<String, Received> spans) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (System.nanoTime() < end && !missing(spans).isEmpty()) {
            Thread.sleep(20);
        }
        assertThat(missing(spans))
                .as("hops without a span, of %s", names(spans))
                .isEmpty();
    }

    private static Set<String> missing(Map<String, Received> spans) {
        return HOPS.entrySet().stream()
                .filter(hop -> spans.values().stream()
                        .noneMatch(s -> s.service().equals(hop.getValue())
                                && s.span().getName().equals(hop.getKey())))
                .map(Map.Entry::getKey)
                .collect(Collectors.toSet());
    }

    /** Every span's parent is the caller's span or another span of the trace, and following parents ends at the caller. */
    private static void assertTree(Map<String, Received> spans) {
        for (Received each : spans.values()) {
            String parent = hex(each.span().getParentSpanId().toByteArray());
            int steps = 0;
            while (!parent.equals(CALLER)) {
                assertThat(spans)
                        .as("parent of '%s' among %s", each.span().getName(), names(spans))
                        .containsKey(parent);
                parent = hex(spans.get(parent).span().getParentSpanId().toByteArray());
                assertThat(++steps).isLessThan(20);
            }
        }
        assertThat(spans.values().stream()
                        .filter(s ->
                                hex(s.span().getParentSpanId().toByteArray()).equals(CALLER)))
                .as("spans right under the caller's: %s", names(spans))
                .hasSize(1);
    }

    private static List<String> names(Map<String, Received> spans) {
        return spans.values().stream()
                .map(s -> s.service() + " " + s.span().getName())
                .sorted()
                .toList();
    }

    private static HttpServer receiver(Map<String, Received> spans) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/v1/traces", exchange -> {
            boolean zipped = "gzip".equals(exchange.getRequestHeaders().getFirst("Content-Encoding"));
            try (var body = zipped ? new GZIPInputStream(exchange.getRequestBody()) : exchange.getRequestBody()) {
                for (ResourceSpans resource :
                        ExportTraceServiceRequest.parseFrom(body).getResourceSpansList()) {
                    String service = resource.getResource().getAttributesList().stream()
                            .filter(a -> a.getKey().equals("service.name"))
                            .map(a -> a.getValue().getStringValue())
                            .findFirst()
                            .orElse("");
                    resource.getScopeSpansList().stream()
                            .flatMap(scope -> scope.getSpansList().stream())
                            .filter(span -> hex(span.getTraceId().toByteArray()).equals(TRACE))
                            .forEach(span ->
                                    spans.put(hex(span.getSpanId().toByteArray()), new Received(service, span)));
                }
            }
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        return server;
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }
}
