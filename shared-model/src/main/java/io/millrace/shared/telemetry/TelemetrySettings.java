package io.millrace.shared.telemetry;

import io.millrace.shared.error.MillraceException;
import java.net.URI;
import java.util.Map;

/**
 * Where a part's spans go.
 *
 * @param otlpEndpoint base address of an OTLP receiver over HTTP ({@code http://host:4318}; {@code /v1/traces} is added), or
 *     the whole address when it ends in {@code /v1/traces}; empty: nothing is recorded
 * @param sampleRatio 0..1: share of the traces begun here that are recorded; a trace begun elsewhere keeps its caller's choice
 * @param exportIntervalMs how long spans are gathered before they are sent, 10..60,000 milliseconds
 * @param stepEvery one in so many steps of an engine has a trace of its own, 0..1,000,000; 0: none
 * @param resource attributes of the part beside its service name, such as {@code service.instance.id}
 */
public record TelemetrySettings(
        String otlpEndpoint, double sampleRatio, long exportIntervalMs, int stepEvery, Map<String, String> resource) {

    /** One in so many engine steps has a trace of its own. */
    public static final int STEP_EVERY = 50;

    /** Nothing is recorded. */
    public static final TelemetrySettings OFF = new TelemetrySettings("", 1.0, 1_000, STEP_EVERY, Map.of());

    private static final String TRACES_PATH = "/v1/traces";

    /** Throws MR-TEL-001 to MR-TEL-004 for values outside their ranges. */
    public TelemetrySettings {
        if (!(sampleRatio >= 0 && sampleRatio <= 1)) {
            throw new MillraceException(
                    "MR-TEL-001",
                    "The trace sample ratio is " + sampleRatio
                            + "; it must lie between 0 and 1. Set millrace.telemetry.sample-ratio.");
        }
        if (exportIntervalMs < 10 || exportIntervalMs > 60_000) {
            throw new MillraceException(
                    "MR-TEL-002",
                    "The export interval is " + exportIntervalMs
                            + " ms; it must lie between 10 and 60,000. Set millrace.telemetry.export-interval-ms.");
        }
        if (stepEvery < 0 || stepEvery > 1_000_000) {
            throw new MillraceException(
                    "MR-TEL-004",
                    "One trace in " + stepEvery
                            + " engine steps is no sensible number; it must lie between 0 (none) and 1,000,000. Set"
                            + " millrace.telemetry.step-every.");
        }
        otlpEndpoint = otlpEndpoint.strip();
        if (!otlpEndpoint.isEmpty() && !isHttp(otlpEndpoint)) {
            throw new MillraceException(
                    "MR-TEL-003",
                    "'" + otlpEndpoint + "' is no OTLP endpoint over HTTP. Write it as http://host:4318.");
        }
        resource = Map.copyOf(resource);
    }

    /** The same, with one more resource attribute. */
    public TelemetrySettings with(String attribute, String value) {
        var all = new java.util.HashMap<>(resource);
        all.put(attribute, value);
        return new TelemetrySettings(otlpEndpoint, sampleRatio, exportIntervalMs, stepEvery, all);
    }

    boolean enabled() {
        return !otlpEndpoint.isEmpty();
    }

    String tracesUrl() {
        if (otlpEndpoint.endsWith(TRACES_PATH)) {
            return otlpEndpoint;
        }
        String base = otlpEndpoint.endsWith("/") ? otlpEndpoint.substring(0, otlpEndpoint.length() - 1) : otlpEndpoint;
        return base + TRACES_PATH;
    }

    private static boolean isHttp(String endpoint) {
        try {
            URI uri = URI.create(endpoint);
            return ("http".equals(uri.getScheme()) || "https".equals(uri.getScheme())) && uri.getHost() != null;
        } catch (IllegalArgumentException notAnAddress) {
            return false;
        }
    }
}
