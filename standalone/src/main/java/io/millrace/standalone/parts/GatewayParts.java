package io.millrace.standalone.parts;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.gateway.config.GatewayConfiguration;
import io.millrace.gateway.config.GatewayHealth;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.standalone.config.KafkaProperties;
import io.millrace.standalone.config.TelemetryProperties;
import io.opentelemetry.api.OpenTelemetry;
import java.util.List;
import org.springframework.boot.health.contributor.Status;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;

/** The gateway of this process, and what it wants: a log, telemetry. */
@Configuration(proxyBeanMethods = false)
@Import(GatewayConfiguration.class)
class GatewayParts {

    @Bean(destroyMethod = "close")
    PartTelemetry gatewayTelemetry(TelemetryProperties properties) {
        return PartTelemetry.of(Telemetry.GATEWAY, properties);
    }

    @Bean
    OpenTelemetry openTelemetry(PartTelemetry gatewayTelemetry) {
        return gatewayTelemetry.telemetry().openTelemetry();
    }

    @Bean(destroyMethod = "close")
    Log gatewayLog(KafkaGate gate, KafkaProperties properties, MeterRegistry registry) {
        return new MeteredLog(new GatedLog(gate, new KafkaLog(properties.settings("gateway"))), registry, "gateway");
    }

    @Bean
    PartGroup gateways(KafkaGate gate, GatewayHealth health) {
        return new PartGroup(
                PartGroup.GATEWAYS,
                List.of(new GatewayPart(
                        gate, () -> Status.UP.equals(health.health().getStatus()))));
    }
}
