package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.BufferedReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

@EnabledOnOs(OS.LINUX)
class ServedFileTest {

    private static final long PATIENCE_S = 30;

    @TempDir
    Path dir;

    /** Serves a file, pauses its server, says the server's process, and goes on until it is told to end. */
    static final class Pausing {

        private Pausing() {}

        /** @param args the folder with the server's program, and where its output goes */
        public static void main(String[] args) throws Exception {
            Path dir = Path.of(args[0]);
            try (ServedFile served = ServedFile.llama(dir, dir.resolve("model.gguf"), 1, 64, dir)) {
                served.pause();
                System.out.println(served.pid());
                new CountDownLatch(1).await();
            }
        }
    }

    /** What says that it is ready as llama.cpp's server does, and does nothing more. */
    private void program() throws Exception {
        Path program = Files.writeString(dir.resolve(ServedFile.LLAMA), """
                #!/bin/sh
                echo 'model loaded'
                echo 'server is listening on http://127.0.0.1:1'
                exec sleep 300
                """);
        Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwx------"));
    }

    @Test
    void aPausedServerEndsAlsoWhenWhoeverClosesItIsInterrupted() throws Exception {
        program();
        ServedFile served = ServedFile.llama(dir, dir.resolve("model.gguf"), 1, 64, dir);
        ProcessHandle server = ProcessHandle.of(served.pid()).orElseThrow();
        try {
            served.pause();
            Thread.currentThread().interrupt();
            assertThatThrownBy(served::close).isInstanceOf(InterruptedException.class);
            assertThat(server.onExit().get(PATIENCE_S, TimeUnit.SECONDS).isAlive())
                    .isFalse();
        } finally {
            server.destroyForcibly();
        }
    }

    @Test
    void aPausedServerEndsWithTheProcessThatMeasuresIt() throws Exception {
        program();
        Process bench = new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        "-XX:TieredStopAtLevel=1",
                        "-Xmx128m",
                        "-cp",
                        System.getProperty("java.class.path"),
                        Pausing.class.getName(),
                        dir.toString())
                .redirectErrorStream(true)
                .start();
        try (BufferedReader said = bench.inputReader(StandardCharsets.UTF_8)) {
            String first = String.valueOf(said.readLine());
            assertThat(first).matches("\\d+");
            ProcessHandle server = ProcessHandle.of(Long.parseLong(first)).orElseThrow();
            try {
                bench.destroy();
                assertThat(bench.waitFor(PATIENCE_S, TimeUnit.SECONDS)).isTrue();
                assertThat(server.onExit().get(PATIENCE_S, TimeUnit.SECONDS).isAlive())
                        .isFalse();
            } finally {
                server.destroyForcibly();
            }
        } finally {
            bench.destroyForcibly();
        }
    }
}
