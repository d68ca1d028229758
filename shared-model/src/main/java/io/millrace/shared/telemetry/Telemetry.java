package io.millrace.shared.telemetry;

import io.millrace.shared.proto.TraceContext;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.api.common.AttributeKey;
import io.opentelemetry.api.common.Attributes;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanId;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.propagation.ContextPropagators;
import io.opentelemetry.context.propagation.TextMapGetter;
import io.opentelemetry.exporter.otlp.http.trace.OtlpHttpSpanExporter;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.resources.Resource;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.export.BatchSpanProcessor;
import io.opentelemetry.sdk.trace.samplers.Sampler;
import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * The tracing of one part (gateway, router or worker): an OpenTelemetry SDK of its own, so that several parts in one JVM keep
 * their own service names.
 *
 * <p>Without an endpoint it is a no-op: spans cost nothing and are recorded nowhere, but a caller's trace context still passes
 * through. Trace contexts travel in the W3C form (https://www.w3.org/TR/trace-context/). Thread-safe.
 */
public final class Telemetry implements AutoCloseable {

    /** Service names of the parts. */
    public static final String GATEWAY = "millrace-gateway";

    public static final String ROUTER = "millrace-router";
    public static final String WORKER = "millrace-worker";

    private static final String SCOPE = "io.millrace";
    private static final int QUEUE_SPANS_MAX = 16_384;
    private static final int BATCH_SPANS_MAX = 512;
    private static final long SEND_TIMEOUT_MS = 5_000;
    private static final long CLOSE_TIMEOUT_MS = 1_000;
    private static final W3CTraceContextPropagator W3C = W3CTraceContextPropagator.getInstance();

    private final OpenTelemetry openTelemetry;
    private final Tracer tracer;
    private final @Nullable SdkTracerProvider provider;
    private final ChosenSpanIds ids;
    private final int stepEvery;

    private Telemetry(
            OpenTelemetry openTelemetry, @Nullable SdkTracerProvider provider, ChosenSpanIds ids, int stepEvery) {
        this.openTelemetry = openTelemetry;
        this.tracer = openTelemetry.getTracer(SCOPE);
        this.provider = provider;
        this.ids = ids;
        this.stepEvery = stepEvery;
    }

    /** Records nothing. */
    public static Telemetry disabled() {
        return new Telemetry(OpenTelemetry.noop(), null, new ChosenSpanIds(), 0);
    }

    /** The telemetry of a part of that service name; records nothing when the settings name no endpoint. */
    public static Telemetry of(String serviceName, TelemetrySettings settings) {
        if (!settings.enabled()) {
            return disabled();
        }
        var attributes = Attributes.builder().put(AttributeKey.stringKey("service.name"), serviceName);
        settings.resource().forEach(attributes::put);
        OtlpHttpSpanExporter exporter = OtlpHttpSpanExporter.builder()
                .setEndpoint(settings.tracesUrl())
                .setTimeout(Duration.ofMillis(SEND_TIMEOUT_MS))
                .build();
        var ids = new ChosenSpanIds();
        SdkTracerProvider provider = SdkTracerProvider.builder()
                .setIdGenerator(ids)
                .setResource(Resource.getDefault().merge(Resource.create(attributes.build())))
                .setSampler(Sampler.parentBased(Sampler.traceIdRatioBased(settings.sampleRatio())))
                .addSpanProcessor(BatchSpanProcessor.builder(exporter)
                        .setScheduleDelay(Duration.ofMillis(settings.exportIntervalMs()))
                        .setMaxQueueSize(QUEUE_SPANS_MAX)
                        .setMaxExportBatchSize(BATCH_SPANS_MAX)
                        .setExporterTimeout(Duration.ofMillis(SEND_TIMEOUT_MS))
                        .build())
                .build();
        OpenTelemetrySdk sdk = OpenTelemetrySdk.builder()
                .setTracerProvider(provider)
                .setPropagators(ContextPropagators.create(W3C))
                .build();
        return new Telemetry(sdk, provider, ids, settings.stepEvery());
    }

    /** Whether spans are recorded at all: guard what only builds attributes. */
    public boolean enabled() {
        return provider != null;
    }

    public Tracer tracer() {
        return tracer;
    }

    /** One in how many engine steps has a trace of its own; 0: none. */
    public int stepEvery() {
        return stepEvery;
    }

    /**
     * The id of the span of an execution, which follows from its aid: so a router can write that span for a worker that was lost, and
     * a later attempt link to it, without a word between them.
     *
     * @param aid 16 random bytes
     */
    public static String spanId(byte[] aid) {
        long bits = ByteBuffer.wrap(aid).getLong();
        return SpanId.fromLong(bits == 0 ? 1 : bits);
    }

    /** The span of that id in the trace of {@code trace}; invalid when that is no trace. */
    public static SpanContext sibling(TraceContext trace, String spanId) {
        SpanContext of = Span.fromContext(fromProto(trace)).getSpanContext();
        return SpanContext.createFromRemoteParent(of.getTraceId(), spanId, of.getTraceFlags(), of.getTraceState());
    }

    /** Begins the span under an id that was chosen for it. */
    public Span start(SpanBuilder builder, String spanId) {
        if (provider != null) {
            ids.choose(spanId);
        }
        return builder.startSpan();
    }

    public OpenTelemetry openTelemetry() {
        return openTelemetry;
    }

    /** The context's span in the form that stands on the topics; the default instance when there is none. */
    public static TraceContext toProto(Context context) {
        var out = TraceContext.newBuilder();
        W3C.inject(context, out, (carrier, key, value) -> {
            if (carrier == null) {
                return;
            }
            switch (key) {
                case "traceparent" -> carrier.setTraceparent(value);
                case "tracestate" -> carrier.setTracestate(value);
                default -> {}
            }
        });
        return out.build();
    }

    /** The span in the form that stands on the topics. */
    public static TraceContext toProto(Span span) {
        return toProto(Context.root().with(span));
    }

    /** A context whose span is the remote parent that stands there; the root context when it is absent or malformed. */
    public static Context fromProto(TraceContext trace) {
        return trace.getTraceparent().isEmpty() ? Context.root() : W3C.extract(Context.root(), trace, GETTER);
    }

    /** A context whose span is the remote parent of these two HTTP headers; the root context when absent or malformed. */
    public static Context fromHeaders(@Nullable String traceparent, @Nullable String tracestate) {
        if (traceparent == null) {
            return Context.root();
        }
        return fromProto(TraceContext.newBuilder()
                .setTraceparent(traceparent)
                .setTracestate(tracestate == null ? "" : tracestate)
                .build());
    }

    /** Sends what was recorded; waits up to a second. */
    public void flush() {
        if (provider != null) {
            provider.forceFlush().join(CLOSE_TIMEOUT_MS, TimeUnit.MILLISECONDS);
        }
    }

    /** Sends what was recorded, waits up to a second, and stops. */
    @Override
    public void close() {
        if (provider != null) {
            provider.shutdown().join(CLOSE_TIMEOUT_MS, TimeUnit.MILLISECONDS);
        }
    }

    private static final TextMapGetter<TraceContext> GETTER = new TextMapGetter<>() {
        @Override
        public Iterable<String> keys(TraceContext carrier) {
            return List.of("traceparent", "tracestate");
        }

        @Override
        public @Nullable String get(@Nullable TraceContext carrier, String key) {
            if (carrier == null) {
                return null;
            }
            return switch (key) {
                case "traceparent" -> carrier.getTraceparent();
                case "tracestate" -> carrier.getTracestate().isEmpty() ? null : carrier.getTracestate();
                default -> null;
            };
        }
    };
}
