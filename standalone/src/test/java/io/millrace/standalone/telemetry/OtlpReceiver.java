package io.millrace.standalone.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import com.sun.net.httpserver.HttpServer;
import io.opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest;
import io.opentelemetry.proto.common.v1.KeyValue;
import io.opentelemetry.proto.trace.v1.ResourceSpans;
import io.opentelemetry.proto.trace.v1.Span;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.HexFormat;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;
import java.util.zip.GZIPInputStream;

/** Takes spans over OTLP as a collector would, and keeps them. */
public final class OtlpReceiver implements AutoCloseable {

    /** A span, and the service that wrote it. */
    public record Received(String service, Span span) {

        public String name() {
            return span.getName();
        }

        public String id() {
            return hex(span.getSpanId().toByteArray());
        }

        public String parent() {
            return hex(span.getParentSpanId().toByteArray());
        }

        public String trace() {
            return hex(span.getTraceId().toByteArray());
        }

        /** The attribute's value as text; empty when it has none. */
        public String attribute(String key) {
            return span.getAttributesList().stream()
                    .filter(each -> each.getKey().equals(key))
                    .map(OtlpReceiver::text)
                    .findFirst()
                    .orElse("");
        }

        /** Ids of the spans that it links to. */
        public List<String> links() {
            return span.getLinksList().stream()
                    .map(link -> hex(link.getSpanId().toByteArray()))
                    .toList();
        }
    }

    private final HttpServer server;
    private final List<Received> spans = new CopyOnWriteArrayList<>();

    private OtlpReceiver(HttpServer server) {
        this.server = server;
    }

    public static OtlpReceiver start() throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        var receiver = new OtlpReceiver(server);
        server.createContext("/v1/traces", exchange -> {
            boolean zipped = "gzip".equals(exchange.getRequestHeaders().getFirst("Content-Encoding"));
            try (var body = zipped ? new GZIPInputStream(exchange.getRequestBody()) : exchange.getRequestBody()) {
                ExportTraceServiceRequest.parseFrom(body).getResourceSpansList().forEach(receiver::keep);
            }
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        return receiver;
    }

    private void keep(ResourceSpans resource) {
        String service = resource.getResource().getAttributesList().stream()
                .filter(a -> a.getKey().equals("service.name"))
                .map(OtlpReceiver::text)
                .findFirst()
                .orElse("");
        resource.getScopeSpansList().stream()
                .flatMap(scope -> scope.getSpansList().stream())
                .forEach(span -> spans.add(new Received(service, span)));
    }

    private static String text(KeyValue attribute) {
        var value = attribute.getValue();
        return switch (value.getValueCase()) {
            case STRING_VALUE -> value.getStringValue();
            case INT_VALUE -> Long.toString(value.getIntValue());
            case DOUBLE_VALUE -> Double.toString(value.getDoubleValue());
            case BOOL_VALUE -> Boolean.toString(value.getBoolValue());
            default -> value.toString();
        };
    }

    public String endpoint() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /** All spans so far. */
    public List<Received> all() {
        return List.copyOf(spans);
    }

    public List<Received> of(String traceId) {
        return spans.stream().filter(each -> each.trace().equals(traceId)).toList();
    }

    /** Waits for a span that the condition holds of. */
    public Received await(String what, Predicate<Received> condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (true) {
            var found = spans.stream().filter(condition).findFirst();
            if (found.isPresent()) {
                return found.get();
            }
            assertThat(System.nanoTime())
                    .as("a span: %s, among %s", what, names())
                    .isLessThan(end);
            Thread.sleep(20);
        }
    }

    private List<String> names() {
        return spans.stream().map(s -> s.service() + " " + s.name()).sorted().toList();
    }

    private static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    @Override
    public void close() {
        server.stop(0);
    }
}
