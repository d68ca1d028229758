package io.millrace.standalone.parts;

import io.millrace.standalone.config.KafkaProperties;
import io.millrace.standalone.config.TelemetryProperties;
import io.prometheus.metrics.tracer.common.SpanContext;
import java.util.List;
import java.util.concurrent.Future;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;

/** What every process has: Kafka, health, metrics. */
@SpringBootConfiguration(proxyBeanMethods = false)
@EnableAutoConfiguration
@EnableConfigurationProperties({KafkaProperties.class, TelemetryProperties.class})
class PartsConfiguration {

    @Bean
    KafkaGate kafkaGate(KafkaProperties properties, RunningParts running) {
        return new KafkaGate(properties, running.broker());
    }

    /** Exemplars lead from a measurement to its trace. */
    @Bean
    SpanContext exemplarSpans() {
        return new CurrentSpan();
    }

    /** Readiness. */
    @Bean
    HealthIndicator partsHealthIndicator(ObjectProvider<PartGroup> groups) {
        return new PartsHealth(() -> all(groups), Part::isReady, "ready");
    }

    /** Whether all has begun that a part does by itself: what it needs of others, such as a router, may still be away. */
    @Bean
    HealthIndicator startedHealthIndicator(ObjectProvider<PartGroup> groups) {
        return new PartsHealth(() -> all(groups), part -> part.started().state() == Future.State.SUCCESS, "started");
    }

    static List<Part> all(ObjectProvider<PartGroup> groups) {
        return groups.orderedStream().<Part>flatMap(g -> g.parts().stream()).toList();
    }
}
