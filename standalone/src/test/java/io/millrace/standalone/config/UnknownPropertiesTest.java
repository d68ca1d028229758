package io.millrace.standalone.config;

import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.springframework.core.env.MapPropertySource;
import org.springframework.core.env.StandardEnvironment;

class UnknownPropertiesTest {

    @Test
    void anUnknownNameIsRefusedWithTheNearestKnownOne() {
        assertThatThrownBy(() -> check("millrace.kafka.partition", "4"))
                .isInstanceOf(MillraceException.class)
                .hasMessageContaining("'millrace.kafka.partition'")
                .hasMessageContaining("'millrace.kafka.partitions'");
        assertThatThrownBy(() -> check("MILLRACE_KAFKA_TOPICPREFX", "x"))
                .hasMessageContaining("MILLRACE_KAFKA_TOPICPREFIX");
    }

    @Test
    void knownNamesInEveryFormAreTaken() {
        for (String name : new String[] {
            "millrace.kafka.topic-prefix",
            "millrace.kafka.topicPrefix",
            "MILLRACE_KAFKA_TOPICPREFIX",
            "millrace.worker.models[1]",
            "MILLRACE_WORKER_MODELS_0",
            "millrace.kafka.client.security.protocol",
            "MILLRACE_HOME",
            "some.other.name"
        }) {
            assertThatCode(() -> check(name, "x")).as(name).doesNotThrowAnyException();
        }
    }

    private static void check(String name, String value) {
        var environment = new StandardEnvironment();
        environment.getPropertySources().addFirst(new MapPropertySource("test", Map.of(name, value)));
        AllProperties.unknown().check(environment);
    }
}
