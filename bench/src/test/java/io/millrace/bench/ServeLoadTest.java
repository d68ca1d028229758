package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.cli.CommandLines;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class ServeLoadTest {

    private static final String ANSWER = """
            data: {"choices":[{"delta":{"role":"assistant","content":null}}]}

            data: {"choices":[{"delta":{"content":"a \\"content\\":\\"b"}}],"usage":null}

            data: {"choices":[{"delta":{"content":"c"}}]}

            data: {"choices":[],"usage":{"completion_tokens":3,"prompt_tokens":11,"prompt_tokens_details":{"cached_tokens":4}}}

            data: [DONE]

            """;

    @TempDir
    Path dir;

    /** Says that it keeps the connection, and closes it: as llama.cpp's server does after a stream. */
    private static void serve(ServerSocket socket, AtomicInteger failAt) {
        try {
            while (true) {
                try (Socket client = socket.accept()) {
                    InputStream in = client.getInputStream();
                    String head = "";
                    while (!head.endsWith("\r\n\r\n")) {
                        head += (char) in.read();
                    }
                    in.readNBytes(Integer.parseInt(head.replaceAll("(?is).*content-length: *(\\d+).*", "$1")));
                    boolean ok = failAt.decrementAndGet() != 0;
                    byte[] body = (ok ? ANSWER : "busy").getBytes(StandardCharsets.UTF_8);
                    client.getOutputStream()
                            .write(("HTTP/1.1 " + (ok ? "200 OK" : "503 Busy")
                                            + "\r\nKeep-Alive: timeout=5, max=100\r\nContent-Length: " + body.length
                                            + "\r\n\r\n")
                                    .getBytes(StandardCharsets.UTF_8));
                    client.getOutputStream().write(body);
                }
            }
        } catch (IOException closed) {
            // The test is over.
        }
    }

    private String bench(int exitCode, int failAt) throws IOException {
        var out = new ByteArrayOutputStream();
        try (ServerSocket socket = new ServerSocket(0, 50, InetAddress.getLoopbackAddress())) {
            Thread.ofVirtual().start(() -> serve(socket, new AtomicInteger(failAt)));
            String url = "http://127.0.0.1:" + socket.getLocalPort();
            assertThat(CommandLines.run(
                            new String[] {
                                "bench",
                                "serve",
                                "--url",
                                url,
                                "--model",
                                "m",
                                "--streams",
                                "2",
                                "--requests",
                                "8",
                                "--warm-up",
                                "2",
                                "--out",
                                dir.toString()
                            },
                            new PrintStream(out),
                            System.err))
                    .isEqualTo(exitCode);
        }
        try (var files = Files.list(dir)) {
            return Files.readString(files.findFirst().orElseThrow()) + out;
        }
    }

    @Test
    void aServerThatClosesConnectionsItPromisedToKeepAnswersEveryRequest() throws Exception {
        assertThat(bench(0, -1))
                .contains("\"ok\" : 8", "\"failed\" : 0", "\"prompt_tokens\" : 11.0", "\"cached_tokens\" : 4.0");
    }

    @Test
    void aRequestThatFailedIsToldAndGivesNoTokens() throws Exception {
        assertThat(bench(1, 4)).contains("\"ok\" : 7", "\"failed\" : 1", "1 x status 503");
    }

    @Test
    void noTwoPromptsBeginAlike() {
        ServeLoad load = CommandLine.populateCommand(new ServeLoad(), "--prompt-words", "20");
        Set<String> beginnings = new HashSet<>();
        for (int round = -1; round < 3; round++) {
            for (int i = 0; i < 50; i++) {
                assertThat(beginnings.add(load.prompt(round, i).replaceAll("((\\S+ ){9}).*", "$1")))
                        .as("round %d, prompt %d", round, i)
                        .isTrue();
            }
        }
        assertThat(load.prompt(1, 2)).isEqualTo(load.prompt(1, 2));
    }
}
