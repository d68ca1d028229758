package io.millrace.standalone.parts;

import io.millrace.shared.telemetry.Telemetry;
import io.millrace.standalone.config.TelemetryProperties;

/** The telemetry of one kind of part: a bean type of its own, since a context may hold several. */
record PartTelemetry(Telemetry telemetry) implements AutoCloseable {

    static PartTelemetry of(String service, TelemetryProperties properties) {
        return new PartTelemetry(Telemetry.of(service, properties.settings()));
    }

    @Override
    public void close() {
        telemetry.close();
    }
}
