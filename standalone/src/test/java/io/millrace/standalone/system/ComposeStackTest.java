package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.openai.client.OpenAIClient;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/**
 * compose.yaml in a real engine: three brokers, a gateway, two routers, two workers, of the image that {@code TEST_MILLRACE_IMAGE}
 * names (default {@code millrace:local}). Skipped, aloud, without an engine; the tests of {@code bench chaos}
 * do the same with processes.
 */
@Tag("long")
@Timeout(300)
class ComposeStackTest {

    private static final String IMAGE = System.getenv().getOrDefault("TEST_MILLRACE_IMAGE", "millrace:local");
    private static final int STREAMS = 8;
    private static final int TOKENS = 200;

    private static ComposeProject project;
    private static OpenAIClient client;

    @BeforeAll
    static void start() throws Exception {
        ComposeProject.requireEngine("ComposeStackTest", IMAGE);
        int port = Processes.freePort();
        project = new ComposeProject(
                "millrace-test-" + ProcessHandle.current().pid(),
                Path.of("src/test/compose/mock.yaml"),
                new TreeMap<>(Map.of(
                        "COMPOSE_PROFILES",
                        "kafka,cpu",
                        "MILLRACE_IMAGE",
                        IMAGE,
                        "MODEL",
                        "mock:alpha",
                        "OTLP",
                        "",
                        "GATEWAY_PORT",
                        String.valueOf(port))));
        long began = System.nanoTime();
        ComposeProject.Ran up =
                project.tryCompose("up", "-d", "--no-build", "--pull", "never", "--wait", "--wait-timeout", "240");
        assertThat(up.status())
                .as(
                        "%s%s",
                        up.output(),
                        up.status() == 0
                                ? ""
                                : project.tryCompose("logs", "--tail", "30").output())
                .isZero();
        System.out.printf("the stack is up after %.1f s%n", (System.nanoTime() - began) / 1e9);
        SystemUnderTest.awaitServed("http://127.0.0.1:" + port, "alpha");
        client = MockStreams.client(port);
    }

    @AfterAll
    static void stop() throws Exception {
        if (client != null) {
            client.close();
        }
        if (project != null) {
            project.close();
        }
    }

    @Test
    void topicsAreKeptByThreeBrokersAndNobodyIsRoot() throws Exception {
        assertThat(project.compose("logs", "router", "gateway", "worker")).contains("with replication factor 3");
        for (String service : List.of("kafka-1", "router", "gateway", "worker")) {
            assertThat(project.compose("exec", "-T", service, "/opt/busybox", "id", "-u"))
                    .as(service)
                    .contains("10001");
            assertThat(project.tryCompose("exec", "-T", service, "/opt/busybox", "touch", "/opt/millrace/new")
                            .output())
                    .as(service)
                    .contains("Read-only file system");
        }
    }

    @Test
    void streamsOutlastEachWorkerThatIsKilled() throws Exception {
        for (String worker : project.containers("worker")) {
            streamsOutlast("a worker", worker);
        }
    }

    @Test
    void streamsOutlastARouterThatIsKilled() throws Exception {
        streamsOutlast("a router", project.containers("router").getFirst());
    }

    @Test
    void streamsOutlastABrokerThatIsKilled() throws Exception {
        streamsOutlast("a broker", project.containers("kafka-2").getFirst());
    }

    @Test
    void aWorkerThatIsStoppedHandsItsStreamsOverAndEndsByItself() throws Exception {
        String worker = project.containers("worker").getFirst();
        try (var streams = MockStreams.begin(client, STREAMS, 2 * TOKENS)) {
            project.docker("stop", worker);
            assertThat(project.docker("inspect", "-f", "{{.State.ExitCode}}", worker))
                    .as("143: ended by itself at SIGTERM; 137: was killed")
                    .isEqualTo("143");
            streams.assertWholeAndAsUndisturbed();
        }
        startAgain(worker);
    }

    private static void streamsOutlast(String what, String container) throws Exception {
        try (var streams = MockStreams.begin(client, STREAMS, TOKENS)) {
            project.docker("kill", container);
            long left = streams.running();
            assertThat(left).as("streams under way when %s was killed", what).isPositive();
            streams.assertWholeAndAsUndisturbed();
            System.out.printf("%s killed amid %d streams: all went on%n", what, left);
        }
        startAgain(container);
    }

    private static void startAgain(String container) throws Exception {
        project.docker("start", container);
        project.compose(
                "up", "-d", "--no-build", "--pull", "never", "--no-recreate", "--wait", "--wait-timeout", "120");
    }
}
