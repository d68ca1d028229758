package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.topic.Topic;
import io.millrace.standalone.cli.CommandLines;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** A request whose worker's process dies each time that it is sent to one: blamed, run alone, given up, kept as a dead letter. */
@Tag("long")
@Timeout(400)
class PoisonProcessTest {

    private static final String MARK = "poisonous";
    private static final int WORKERS = 2;

    @TempDir
    Path dir;

    private final Map<Integer, Process> bySlot = new ConcurrentHashMap<>();
    private final AtomicInteger kills = new AtomicInteger();
    private final BlockingQueue<Integer> died = new LinkedBlockingQueue<>();

    @Test
    void aRequestThatEndsItsWorkerEachTimeIsGivenUpAndOthersAreNot() throws Exception {
        try (WorkerProcesses processes = new WorkerProcesses(dir);
                KafkaLog log =
                        new KafkaLog(KafkaSettings.of(processes.bootstrap()).withClientId("test"));
                var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int slot = 0; slot < WORKERS; slot++) {
                start(processes, slot, 0);
            }
            String url = processes.serve("alpha");
            Thread restarts = Thread.ofVirtual().start(() -> restart(processes));
            try (LogReader reader = log.reader("poison", this::strike)) {
                for (int slot = 0; slot < WORKERS; slot++) {
                    reader.assign(Topic.ASSIGNMENTS, slot, LogReader.BEGINNING);
                }
                List<Future<HttpResponse<String>>> innocent = new ArrayList<>();
                for (int i = 0; i < 4; i++) {
                    String body = body("number " + i);
                    innocent.add(threads.submit(() -> SystemUnderTest.send(url + "/v1/completions", body)));
                }
                HttpResponse<String> answer = SystemUnderTest.send(url + "/v1/completions", body(MARK));
                assertThat(answer.statusCode()).as(answer.body()).isEqualTo(500);
                assertThat(answer.body()).contains("poison");
                // Never more than it takes: two alone, or three in all.
                assertThat(kills.get()).isBetween(2, 3);
                for (Future<HttpResponse<String>> each : innocent) {
                    assertThat(each.get(120, TimeUnit.SECONDS).statusCode()).isEqualTo(200);
                }
                String list = run(processes.bootstrap(), "dead-letters", "list");
                assertThat(list).contains(kills.get() + " crashes");
                String id = list.substring(0, list.indexOf(' '));

                // Tried again it is as bad: a dead letter of its own.
                String retried = run(processes.bootstrap(), "dead-letters", "retry", id);
                assertThat(retried).startsWith("retried as ").contains("poison");
                assertThat(run(processes.bootstrap(), "dead-letters", "list")
                                .lines()
                                .filter(line -> line.contains("crashes")))
                        .hasSize(2);
                assertThat(run(processes.bootstrap(), "dead-letters", "retry", id))
                        .startsWith("was retried already as ");
            } finally {
                restarts.interrupt();
                restarts.join();
            }
        }
    }

    /** The worker that is sent the request is killed at once, as by a fault in its native code. */
    private void strike(LogRecord record) {
        try {
            Assignment assignment = Assignment.parseFrom(record.value());
            Process process = bySlot.get(record.partition());
            if (assignment.hasDispatch()
                    && assignment.getDispatch().getSubmit().getPromptText().equals(MARK)
                    && process != null) {
                kills.incrementAndGet();
                process.destroyForcibly();
                died.add(record.partition());
            }
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException(e);
        }
    }

    private void restart(WorkerProcesses processes) {
        try {
            for (int number = 1; ; number++) {
                int slot = died.take();
                bySlot.get(slot).waitFor();
                start(processes, slot, number);
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    private void start(WorkerProcesses processes, int slot, int number) throws IOException {
        bySlot.put(
                slot,
                processes.worker(
                        "worker-" + slot + "-" + number,
                        Map.of(),
                        "--model",
                        "mock:alpha",
                        "--set",
                        "millrace.worker.slot=" + slot,
                        "--set",
                        "millrace.worker.mock-step=100ms"));
    }

    private static String body(String prompt) {
        return "{\"model\":\"alpha\",\"prompt\":\"" + prompt + "\",\"max_tokens\":60,\"ignore_eos\":true}";
    }

    private static String run(String bootstrap, String... args) {
        List<String> all = new ArrayList<>(List.of(args));
        all.addAll(List.of("--kafka", bootstrap, "--patience", "120"));
        var out = new ByteArrayOutputStream();
        CommandLines.run(all.toArray(String[]::new), new PrintStream(out), new PrintStream(out));
        return out.toString(StandardCharsets.UTF_8);
    }
}
