package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import jdk.jfr.Recording;
import jdk.jfr.consumer.RecordedEvent;
import jdk.jfr.consumer.RecordingFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What an engine tells profilers, over the mock. */
class EngineProfileTest {

    private static final int BLOCKS = 64;

    private static MockEngine engine() {
        return new MockEngine(MockEngine.config(64), MockEngine.mock(BLOCKS));
    }

    @Test
    void aProfileHasTheNextStepsWithTheirPhasesInOrder() throws Exception {
        try (MockEngine e = engine()) {
            var profile = e.engine.profile(3);
            assertThatThrownBy(() -> e.engine.profile(1).get(10, TimeUnit.SECONDS))
                    .hasMessageContaining("MR-PROF-002");
            e.run(Requests.of("one", 5, 6, 7).maxTokens(8));
            List<ProfiledStep> steps = profile.get(10, TimeUnit.SECONDS);

            assertThat(steps).extracting(ProfiledStep::step).containsExactly(1L, 2L, 3L);
            assertThat(steps).extracting(ProfiledStep::prefillTokens).containsExactly(3, 0, 0);
            assertThat(steps).extracting(ProfiledStep::decodeRows).containsExactly(0, 1, 1);
            assertThat(steps)
                    .allSatisfy(step -> assertThat(List.of(
                                    step.plannedNanos(), step.calledNanos(), step.returnedNanos(), step.bookedNanos()))
                            .isSorted());
        }
    }

    @Test
    void aProfileThatIsEndedEarlyHasWhatRan() throws Exception {
        try (MockEngine e = engine()) {
            var profile = e.engine.profile(1_000);
            e.run(Requests.of("one", 5, 6, 7).maxTokens(4));
            e.engine.profile(0).get(10, TimeUnit.SECONDS);

            assertThat(profile.get(10, TimeUnit.SECONDS)).hasSize(4);
            assertThat(e.engine.profile(0).get(10, TimeUnit.SECONDS)).isEmpty();
        }
    }

    @Test
    void flightRecorderHasAnEventOfEachStepAndItsPlanning(@TempDir Path dir) throws Exception {
        Path file = dir.resolve("steps.jfr");
        try (Recording recording = new Recording()) {
            recording.start();
            try (MockEngine e = engine()) {
                e.run(Requests.of("one", 5, 6, 7).maxTokens(6));
            }
            recording.stop();
            recording.dump(file);
        }
        List<RecordedEvent> steps = events(file, "io.millrace.EngineStep");
        List<RecordedEvent> plans = events(file, "io.millrace.Schedule");

        assertThat(steps).hasSize(6);
        assertThat(plans).hasSize(6);
        assertThat(steps.getFirst().getInt("prefillTokens")).isEqualTo(3);
        assertThat(steps.getLast().getInt("decodeTokens")).isEqualTo(1);
        assertThat(steps.getLast().getString("model")).isEqualTo("mock");
        String page = Files.readString(Path.of("../docs/profiling.md"));
        for (RecordedEvent event : List.of(steps.getFirst(), plans.getFirst())) {
            assertThat(documented(page, event.getEventType().getName()))
                    .containsExactlyElementsOf(event.getFields().stream()
                            .map(field -> field.getName())
                            .filter(name -> !List.of("startTime", "duration", "eventThread", "stackTrace")
                                    .contains(name))
                            .toList());
        }
    }

    private static List<RecordedEvent> events(Path file, String name) throws Exception {
        return RecordingFile.readAllEvents(file).stream()
                .filter(event -> event.getEventType().getName().equals(name))
                .collect(Collectors.toList());
    }

    private static List<String> documented(String page, String event) {
        String row = page.lines()
                .filter(line -> line.startsWith("| `" + event + "` |"))
                .findFirst()
                .orElseThrow();
        return Pattern.compile("`(\\w+)`")
                .matcher(row.substring(row.indexOf('|', 2)))
                .results()
                .map(match -> match.group(1))
                .toList();
    }
}
