package io.millrace.standalone.config;

import io.millrace.shared.telemetry.TelemetrySettings;
import java.time.Duration;
import java.util.Map;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;

/**
 * Traces.
 *
 * @param otlpEndpoint OTLP receiver over HTTP, such as {@code http://127.0.0.1:4318}; empty: nothing is recorded. Without it
 *     {@code OTEL_EXPORTER_OTLP_ENDPOINT} counts
 * @param sampleRatio share of the traces begun here that are recorded, 0 to 1
 * @param exportInterval how long spans are gathered before they are sent
 * @param stepEvery one in so many steps of an engine has a trace of its own; 0: none
 * @param resource further resource attributes
 */
@ConfigurationProperties("millrace.telemetry")
public record TelemetryProperties(
        @DefaultValue("") String otlpEndpoint,
        @DefaultValue("1.0") double sampleRatio,
        @DefaultValue("1s") Duration exportInterval,
        @DefaultValue("50") int stepEvery,
        @DefaultValue Map<String, String> resource) {

    public TelemetrySettings settings() {
        return new TelemetrySettings(otlpEndpoint, sampleRatio, exportInterval.toMillis(), stepEvery, resource);
    }
}
