package io.millrace.standalone.parts;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.standalone.config.TelemetryProperties;
import io.millrace.standalone.config.WorkerProperties;
import io.millrace.worker.gpu.GpuMetrics;
import io.millrace.worker.gpu.Nvml;
import io.millrace.worker.journal.HostedModel;
import java.util.EnumSet;
import java.util.stream.IntStream;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.ServerResponse;

/** The workers of this process: {@code millrace.worker.count} of them. */
@Configuration(proxyBeanMethods = false)
@EnableConfigurationProperties(WorkerProperties.class)
class WorkerParts {

    @Bean(destroyMethod = "close")
    PartTelemetry workerTelemetry(TelemetryProperties properties) {
        return PartTelemetry.of(Telemetry.WORKER, properties);
    }

    /** Of this machine's graphics processors, where there are any. */
    @Bean(destroyMethod = "close")
    GpuMetrics gpuMetrics(MeterRegistry registry) {
        return GpuMetrics.register(registry, Nvml.LIBRARY);
    }

    @Bean
    RouterFunction<ServerResponse> debugRoutes(WorkerProperties properties, PartGroup workers) {
        return new DebugEndpoints(
                        properties.debugEndpoints(),
                        () -> workers.parts().stream()
                                .<HostedModel>flatMap(part -> ((WorkerPart) part).models().stream())
                                .toList())
                .routes();
    }

    @Bean
    PartGroup workers(
            WorkerProperties properties,
            KafkaGate kafka,
            PartTelemetry workerTelemetry,
            MeterRegistry registry,
            RunningParts running) {
        boolean alone = running.roles().equals(EnumSet.of(Role.WORKER));
        ModelOpener opener = new HostedModelOpener();
        return new PartGroup(
                PartGroup.WORKERS,
                IntStream.range(0, properties.count())
                        .mapToObj(number -> new WorkerPart(
                                number,
                                properties,
                                kafka,
                                opener,
                                workerTelemetry.telemetry(),
                                registry,
                                running.progress(),
                                alone))
                        .toList());
    }
}
