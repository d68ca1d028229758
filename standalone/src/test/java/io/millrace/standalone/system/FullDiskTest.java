package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A disk that fills up while the broker runs: a file system of its own, in memory, so only where one may be mounted. */
@Tag("long")
class FullDiskTest {

    private static final int STREAMS = 4;
    private static final int TOKENS = 400;

    @TempDir
    Path dir;

    @Test
    void aFullDiskEndsTheProcessWithItsReasonAndWhatWasAcceptedGoesOnOnceThereIsRoom() throws Exception {
        Path disk = Files.createDirectory(dir.resolve("disk"));
        assumeTrue(
                run("mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", disk.toString()) == 0,
                "no file system may be mounted here (that takes root on Linux)");
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
            disk.resolve("data").toString(),
            "--set",
            "millrace.broker.min-free-disk=16MB",
            "--set",
            "millrace.worker.mock-step=25ms",
            "--set",
            "millrace.kafka.partitions=2",
            "--set",
            "millrace.kafka.slots=2",
            "--set",
            "millrace.router.detach-grace=60s"
        };
        try (Processes processes = new Processes(dir);
                HttpClient client = HttpClient.newHttpClient()) {
            Process first = processes.start("first", up);
            processes.awaitOutput("first", "Ready at");
            SystemUnderTest.awaitServed("http://127.0.0.1:" + port, "alpha");
            List<CompletableFuture<HttpResponse<String>>> streams = new ArrayList<>();
            for (int i = 0; i < STREAMS; i++) {
                streams.add(client.sendAsync(request(port, i), HttpResponse.BodyHandlers.ofString()));
            }
            Journals.awaitAccepted("127.0.0.1:" + kafka, 2, STREAMS);

            fill(disk.resolve("filler"));
            assertThat(first.waitFor(60, TimeUnit.SECONDS))
                    .as("the process ends")
                    .isTrue();
            assertThat(first.exitValue()).isEqualTo(1);
            processes.awaitOutput("first", "[MR-BROKER-006]");
            processes.awaitOutput("first", "free some and start again");
            assertThat(streams)
                    .as("no client is left hanging")
                    .allSatisfy(stream -> assertThat(stream).failsWithin(10, TimeUnit.SECONDS));

            Process refused = processes.start("refused", up);
            assertThat(refused.waitFor(60, TimeUnit.SECONDS)).isTrue();
            processes.awaitOutput("refused", "[MR-BROKER-003]");

            Files.delete(disk.resolve("filler"));
            processes.start("second", up);
            processes.awaitOutput("second", "Ready at");
            assertThat(Journals.awaitAllEnded("127.0.0.1:" + kafka, 2, STREAMS))
                    .allMatch(each -> each.finish().equals("length") && each.tokens() == TOKENS, "whole");
        } finally {
            run("umount", "-l", disk.toString());
        }
    }

    private static HttpRequest request(int port, int number) {
        String body = """
                {"model":"alpha","stream":true,"max_tokens":%d,"temperature":0,"ignore_eos":true,
                 "messages":[{"role":"user","content":"disk %d"}]}""".formatted(TOKENS, number);
        return HttpRequest.newBuilder(URI.create("http://127.0.0.1:" + port + "/v1/chat/completions"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
    }

    /** Writes until the disk takes no more. */
    private static void fill(Path file) throws IOException {
        try (var out = Files.newOutputStream(file)) {
            byte[] block = new byte[4_096];
            for (int i = 0; i < 64 * 1_024; i++) {
                out.write(block);
            }
        } catch (IOException full) {
            assertThat(full).hasMessageContaining("No space left");
            return;
        }
        throw new AssertionError("the disk took 256 MiB");
    }

    private static int run(String... command) throws InterruptedException {
        try {
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                    .start();
            return process.waitFor();
        } catch (IOException missing) {
            return -1;
        }
    }
}
