package io.millrace.gateway.api;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import io.millrace.gateway.node.JournalHub;
import io.millrace.gateway.node.LogScans;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;

/** Metrics of this gateway, named as vLLM's users know them, under {@code millrace_}. Thread-safe. */
public final class GatewayMetrics {

    private static final Duration[] LONG_STEPS =
            steps(10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000);
    private static final Duration[] SHORT_STEPS = steps(1, 2, 5, 10, 15, 25, 50, 75, 100, 200, 300, 500, 1_000, 2_500);

    private final MeterRegistry meters;
    private final Map<String, OfModel> models = new ConcurrentHashMap<>();
    private final Map<String, OfTenant> tenants = new ConcurrentHashMap<>();

    public GatewayMetrics(MeterRegistry meters, JournalHub hub, LogScans scans) {
        this.meters = meters;
        Gauge.builder("millrace.gateway_requests_followed", hub, JournalHub::size)
                .description("Requests whose journals this gateway reads for a client")
                .tag("part", "gateway")
                .register(meters);
        Gauge.builder("millrace.gateway_scans_running", scans, LogScans::running)
                .description("Readers that bring clients what was written before they came")
                .tag("part", "gateway")
                .register(meters);
        Gauge.builder("millrace.gateway_scans_waiting", scans, LogScans::waiting)
                .description("Scans of the log that wait for a reader")
                .tag("part", "gateway")
                .register(meters);
    }

    /** Meters of one model; models are those that workers serve, so few. */
    record OfModel(Timer firstToken, Timer interToken, Timer whole, Counter promptTokens, Counter generationTokens) {}

    /** Meters of one tenant; tenants are those of the API keys, so few. */
    record OfTenant(Counter requests, Counter promptTokens, Counter generationTokens, Timer firstToken, Timer whole) {}

    OfTenant tenant(String tenant) {
        return tenants.computeIfAbsent(tenant, name -> {
            Tags tags = Tags.of("part", "gateway", "tenant", name);
            return new OfTenant(
                    tenantCounter("millrace.tenant.requests", "Calls of a tenant that were sent on", tags),
                    tenantCounter("millrace.tenant.prompt.tokens", "Prompt tokens of a tenant's ended calls", tags),
                    tenantCounter("millrace.tenant.generation.tokens", "Output tokens of a tenant's ended calls", tags),
                    Timer.builder("millrace.tenant.time.to.first.token")
                            .description("From the arrival of a tenant's call to its first token")
                            .tags(tags)
                            .serviceLevelObjectives(LONG_STEPS)
                            .register(meters),
                    Timer.builder("millrace.tenant.request.latency")
                            .description("From the arrival of a tenant's call to its end")
                            .tags(tags)
                            .serviceLevelObjectives(LONG_STEPS)
                            .register(meters));
        });
    }

    /** A tenant's call ended by an error of that status. */
    void tenantFailed(String tenant, int status) {
        Counter.builder("millrace.tenant.request.errors")
                .description("Calls of a tenant that ended by an error, by HTTP status")
                .tags("part", "gateway", "tenant", tenant, "status", Integer.toString(status))
                .register(meters)
                .increment();
    }

    private Counter tenantCounter(String name, String description, Tags tags) {
        return Counter.builder(name).description(description).tags(tags).register(meters);
    }

    /** The whole of a call under the name of OpenTelemetry's conventions. */
    void served(String operation, String model, String errorType, long nanos) {
        Timer.builder("gen_ai.server.request.duration")
                .description("From a call's arrival to its end, as OpenTelemetry's conventions name it")
                .tags(genAi(operation, model).and("error_type", errorType))
                .serviceLevelObjectives(LONG_STEPS)
                .register(meters)
                .record(nanos, TimeUnit.NANOSECONDS);
    }

    /** First token of a call under the name of OpenTelemetry's conventions. */
    void servedFirst(String operation, String model, long nanos) {
        Timer.builder("gen_ai.server.time_to_first_token")
                .description("From a call's arrival to its first token, as OpenTelemetry's conventions name it")
                .tags(genAi(operation, model))
                .serviceLevelObjectives(LONG_STEPS)
                .register(meters)
                .record(nanos, TimeUnit.NANOSECONDS);
    }

    /** Mean time of an output token after the first, under the name of OpenTelemetry's conventions. */
    void servedToken(String operation, String model, long nanos) {
        Timer.builder("gen_ai.server.time_per_output_token")
                .description("Mean time of an output token after the first, as OpenTelemetry's conventions name it")
                .tags(genAi(operation, model))
                .serviceLevelObjectives(SHORT_STEPS)
                .register(meters)
                .record(nanos, TimeUnit.NANOSECONDS);
    }

    private static Tags genAi(String operation, String model) {
        return Tags.of(
                "part",
                "gateway",
                "gen_ai_operation_name",
                operation,
                "gen_ai_provider_name",
                "millrace",
                "gen_ai_request_model",
                model);
    }

    OfModel of(String model) {
        return models.computeIfAbsent(
                model,
                name -> new OfModel(
                        timer(
                                "millrace.time_to_first_token",
                                "From a request's arrival to its first token",
                                name,
                                LONG_STEPS),
                        timer("millrace.inter_token_latency", "Between the tokens of a choice", name, SHORT_STEPS),
                        timer("millrace.e2e_request_latency", "From a request's arrival to its end", name, LONG_STEPS),
                        counter("millrace.prompt_tokens", "Prompt tokens of ended requests", name),
                        counter("millrace.generation_tokens", "Output tokens of ended requests", name)));
    }

    /** A choice ended by that reason. */
    void finished(String model, String reason) {
        Counter.builder("millrace.request_success")
                .description("Choices that ended, by reason")
                .tags("part", "gateway", "model_name", model, "finished_reason", reason)
                .register(meters)
                .increment();
    }

    /** A request ended by an error of that status. */
    public void failed(int status) {
        Counter.builder("millrace.request_errors")
                .description("Requests that ended by an error, by HTTP status")
                .tags("part", "gateway", "status", Integer.toString(status))
                .register(meters)
                .increment();
    }

    /** An answer that was asked for earlier is read again; kinds are few: stream, retrieve, cancel, delete, input_items, ... */
    void resumed(String kind) {
        Counter.builder("millrace.gateway_resumes")
                .description("Answers asked for earlier that clients came back to, by what they wanted")
                .tags("part", "gateway", "kind", kind)
                .register(meters)
                .increment();
    }

    private Timer timer(String name, String description, String model, Duration[] steps) {
        return Timer.builder(name)
                .description(description)
                .tags("part", "gateway", "model_name", model)
                .serviceLevelObjectives(steps)
                .register(meters);
    }

    private Counter counter(String name, String description, String model) {
        return Counter.builder(name)
                .description(description)
                .tags("part", "gateway", "model_name", model)
                .register(meters);
    }

    private static Duration[] steps(int... milliseconds) {
        Duration[] steps = new Duration[milliseconds.length];
        for (int i = 0; i < steps.length; i++) {
            steps[i] = Duration.ofMillis(milliseconds[i]);
        }
        return steps;
    }
}
