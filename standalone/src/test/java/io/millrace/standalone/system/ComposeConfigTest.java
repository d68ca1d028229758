package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What Compose itself makes of compose.yaml, with each of its profiles. Skipped, aloud, without the plugin; it needs no engine. */
@Tag("long")
@Timeout(120)
class ComposeConfigTest {

    @BeforeAll
    static void look() throws Exception {
        ComposeProject.requirePlugin("ComposeConfigTest");
    }

    private static JsonNode config(String profiles) throws Exception {
        // The test's own file is over it, so that its form is checked too. Nothing is started, so nothing is to be
        // closed.
        @SuppressWarnings("resource")
        var project = new ComposeProject(
                "millrace-test",
                Path.of("src/test/compose/mock.yaml"),
                profiles.isEmpty() ? Map.of() : Map.of("COMPOSE_PROFILES", profiles));
        return new JsonMapper().readTree(project.compose("config", "--format", "json"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "kafka,cpu|kafka-1 kafka-2 kafka-3 router gateway worker",
                "one-broker,cpu|kafka router gateway worker",
                "gpu|router gateway worker-gpu",
                "kafka,gpu,observability|kafka-1 kafka-2 kafka-3 router gateway worker-gpu collector jaeger prometheus grafana",
                "''|kafka-1 kafka-2 kafka-3 router gateway worker collector jaeger prometheus grafana"
            })
    void aProfileBringsItsServices(String profiles, String services) throws Exception {
        assertThat(config(profiles).path("services").propertyNames())
                .containsExactlyInAnyOrderElementsOf(Arrays.asList(services.split(" ")));
    }

    @Test
    void oursAreConfinedAndWaitForTheBrokers() throws Exception {
        JsonNode services = config("kafka,cpu,gpu").path("services");
        for (String name : List.of("kafka-1", "router", "gateway", "worker", "worker-gpu")) {
            JsonNode service = services.path(name);
            assertThat(service.path("read_only").asBoolean()).as(name).isTrue();
            assertThat(service.path("cap_drop").path(0).asString()).as(name).isEqualTo("ALL");
            assertThat(service.path("healthcheck").path("test").size()).as(name).isGreaterThan(2);
            if (!name.startsWith("kafka")) {
                assertThat(service.path("depends_on").propertyNames())
                        .as(name)
                        .contains("kafka-1", "kafka-2", "kafka-3");
                assertThat(service.path("secrets").path(0).path("source").asString())
                        .as(name)
                        .isEqualTo("millrace");
            }
        }
        assertThat(services.path("worker-gpu").path("deploy").toString()).contains("nvidia");
        assertThat(services.path("worker").path("deploy").path("replicas").asInt())
                .isEqualTo(2);
    }
}
