package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Real processes, and kill -9 of all that there is; of one part at a time: {@code ChaosTest} of bench. */
class KilledProcessTest {

    private static final int STREAMS = 16;
    private static final int TOKENS = 120;

    @TempDir
    Path dir;

    @Test
    void everythingAcceptedEndsAfterTheWholeOfItIsKilledAndStartedAgain() throws Exception {
        int port = Processes.freePort();
        int kafka = Processes.freePort();
        String[] up = {
            "up",
            "--model",
            "mock:alpha",
            "--port",
            String.valueOf(port),
            "--kafka-port",
            String.valueOf(kafka),
            "--data-dir",
            dir.resolve("data").toString(),
            "--set",
            "millrace.worker.mock-step=25ms",
            "--set",
            "millrace.kafka.partitions=4",
            "--set",
            "millrace.kafka.slots=4",
            "--set",
            "millrace.router.detach-grace=60s"
        };
        try (Processes processes = new Processes(dir)) {
            Process first = processes.start("first", up);
            processes.awaitOutput("first", "Ready at");
            OpenAIClient client = MockStreams.client(port);
            var streams = MockStreams.begin(client, STREAMS, TOKENS);
            Processes.kill(first);

            processes.start("second", up);
            processes.awaitOutput("second", "Ready at");
            assertThat(Journals.awaitAllEnded("127.0.0.1:" + kafka, 4, STREAMS))
                    .allMatch(
                            each -> each.finish().equals("length") && each.tokens() == TOKENS,
                            "ended with all its tokens");
            client.close();
            streams.close();
        }
    }

    @Test
    void processesAreStartedAgainAndEndWithTheirParentEvenWhenThatIsKilled() throws Exception {
        int port = Processes.freePort();
        try (Processes processes = new Processes(dir)) {
            Process parent = processes.start(
                    "parent",
                    "up",
                    "--processes",
                    "--workers",
                    "2",
                    "--model",
                    "mock:alpha",
                    "--kafka-port",
                    "0",
                    "--port",
                    String.valueOf(port),
                    "--data-dir",
                    dir.resolve("data").toString(),
                    "--set",
                    "millrace.kafka.partitions=4",
                    "--set",
                    "millrace.kafka.slots=4");
            processes.awaitOutput("parent", "Ready at");
            List<ProcessHandle> children = parent.children().toList();
            assertThat(children).as("broker, gateway, router, two workers").hasSize(5);

            children.getLast().destroyForcibly();
            Processes.await(
                    "a new child",
                    () -> !children.getLast().isAlive() && parent.children().count() == 5);
            OpenAIClient client = MockStreams.client(port);
            try (var streams = MockStreams.begin(client, 1, TOKENS)) {
                streams.assertWholeAndAsUndisturbed();
            }
            client.close();

            List<ProcessHandle> last = parent.children().toList();
            Processes.kill(parent);
            Processes.await("the children's end", () -> last.stream().noneMatch(ProcessHandle::isAlive));
        }
    }
}
