package io.millrace.standalone.parts;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.router.RouterProperties;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.standalone.config.KafkaProperties;
import io.millrace.standalone.config.TelemetryProperties;
import java.util.List;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.core.env.Environment;

/** The router of this process. */
@Configuration(proxyBeanMethods = false)
class RouterParts {

    @Bean(destroyMethod = "close")
    PartTelemetry routerTelemetry(TelemetryProperties properties) {
        return PartTelemetry.of(Telemetry.ROUTER, properties);
    }

    @Bean
    PartGroup routers(
            Environment environment,
            KafkaProperties kafkaProperties,
            KafkaGate kafka,
            PartTelemetry routerTelemetry,
            MeterRegistry registry) {
        RouterProperties properties = Binder.get(environment)
                .bind("millrace.router", RouterProperties.class)
                .orElseGet(RouterProperties::defaults);
        return new PartGroup(
                PartGroup.ROUTERS,
                List.of(new RouterPart(
                        properties, kafkaProperties.deadlineMax(), kafka, routerTelemetry.telemetry(), registry)));
    }
}
