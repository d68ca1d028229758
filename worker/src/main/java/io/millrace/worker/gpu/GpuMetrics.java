package io.millrace.worker.gpu;

import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import java.util.OptionalDouble;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/** Gauges of each graphics processor, read when they are asked for; none where there is none. */
public final class GpuMetrics implements AutoCloseable {

    private final @Nullable Nvml nvml;

    private GpuMetrics(@Nullable Nvml nvml) {
        this.nvml = nvml;
    }

    /** Registers what the library of that name finds. */
    public static GpuMetrics register(MeterRegistry registry, String library) {
        Nvml nvml = Nvml.open(library).orElse(null);
        var metrics = new GpuMetrics(nvml);
        if (nvml != null) {
            for (Nvml.Device device : nvml.devices()) {
                metrics.register(registry, nvml, device);
            }
        }
        return metrics;
    }

    private void register(MeterRegistry registry, Nvml from, Nvml.Device device) {
        Tags tags = Tags.of("gpu", Integer.toString(device.index()), "name", device.name(), "uuid", device.uuid());
        gauge(
                registry,
                tags,
                "millrace.gpu.utilization",
                "Share of the time in which a kernel ran, 0 to 1",
                from,
                n -> orNaN(n.utilization(device)));
        gauge(registry, tags, "millrace.gpu.memory.used.bytes", "Memory in use", from, n -> {
            Nvml.Memory memory = n.memory(device);
            return memory == null ? Double.NaN : memory.usedBytes();
        });
        gauge(registry, tags, "millrace.gpu.memory.total.bytes", "Memory there is", from, n -> {
            Nvml.Memory memory = n.memory(device);
            return memory == null ? Double.NaN : memory.totalBytes();
        });
        gauge(registry, tags, "millrace.gpu.power.watts", "Power drawn", from, n -> orNaN(n.power(device)));
        gauge(
                registry,
                tags,
                "millrace.gpu.temperature.celsius",
                "Temperature of the chip",
                from,
                n -> orNaN(n.temperature(device)));
    }

    private static double orNaN(OptionalDouble value) {
        return value.orElse(Double.NaN);
    }

    private static void gauge(
            MeterRegistry registry,
            Tags tags,
            String name,
            String description,
            Nvml nvml,
            ToDoubleFunction<Nvml> value) {
        Gauge.builder(name, nvml, value).description(description).tags(tags).register(registry);
    }

    @Override
    public void close() {
        if (nvml != null) {
            nvml.close();
        }
    }
}
