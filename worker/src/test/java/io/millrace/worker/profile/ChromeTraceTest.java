package io.millrace.worker.profile;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.millrace.worker.backend.OpCosts;
import io.millrace.worker.engine.ProfiledStep;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class ChromeTraceTest {

    private static final Roofline MACHINE = new Roofline(10e9, 100e9);

    private static JsonNode write() {
        var product =
                new ProfiledStep.Ran("linear", 0, 4, 2_000_000, 1_000_000, new OpCosts.Work(1_000_000, 5_000_000));
        var norm = new ProfiledStep.Ran("rms_norm", 1, 4, 3_000_000, 2_000, new OpCosts.Work(200_000, 100));
        var step = new ProfiledStep(7, 2, 2, 0, 1_000_000, 1_500_000, 3_500_000, 3_600_000, List.of(product, norm));
        return new JsonMapper().readTree(new ChromeTrace(MACHINE).write("alpha", List.of(step)));
    }

    private static JsonNode event(String name) {
        for (JsonNode each : write().path("traceEvents")) {
            if (each.path("name").asString().equals(name)) {
                return each;
            }
        }
        throw new AssertionError("no event " + name);
    }

    @Test
    void phasesLieOneAfterTheOtherInMicrosecondsFromTheFirstPlanning() {
        assertThat(event("decode step").path("ts").asDouble()).isZero();
        assertThat(event("decode step").path("dur").asDouble()).isEqualTo(2_600);
        assertThat(event("plan").path("dur").asDouble()).isEqualTo(500);
        assertThat(event("model").path("ts").asDouble()).isEqualTo(500);
        assertThat(event("model").path("dur").asDouble()).isEqualTo(2_000);
        assertThat(event("book").path("dur").asDouble()).isEqualTo(100);
    }

    @Test
    void anOpHasItsWorkAndTheShareOfTheRooflineThatBindsIt() {
        JsonNode product = event("linear").path("args");
        assertThat(product.path("gb_per_s").asDouble()).isCloseTo(5, within(1e-9));
        assertThat(product.path("gflops_per_s").asDouble()).isCloseTo(1, within(1e-9));
        assertThat(product.path("roofline_share").asDouble())
                .as("bound by memory")
                .isCloseTo(0.5, within(1e-9));
        JsonNode norm = event("rms_norm").path("args");
        assertThat(norm.path("roofline_share").asDouble())
                .as("bound by arithmetic")
                .isCloseTo(1, within(1e-9));
    }

    @Test
    void everyThreadOfOpsHasALaneOfItsOwnWithAName() {
        List<String> names = new ArrayList<>();
        write().path("traceEvents").forEach(each -> {
            if (each.path("ph").asString().equals("M")) {
                names.add(each.path("args").path("name").asString());
            }
        });
        assertThat(names).containsExactly("engine of alpha", "phases", "ops 0", "ops 1");
        assertThat(event("linear").path("tid").asInt())
                .isNotEqualTo(event("rms_norm").path("tid").asInt());
    }

    @Test
    void thisMachineIsMeasuredToBeWithinReason() throws InterruptedException {
        Roofline machine = Roofline.measure(2);
        assertThat(machine.bytesPerS()).isBetween(1e8, 1e13);
        assertThat(machine.flopsPerS()).isBetween(1e7, 1e14);
    }
}
