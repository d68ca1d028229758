package io.millrace.standalone.system;

import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/** Commands of the program in processes of their own, on the tests' class path. */
final class Processes implements AutoCloseable {

    private final Path dir;
    private final List<Process> all = new ArrayList<>();

    Processes(Path dir) {
        this.dir = dir;
    }

    /** Starts a command; its output goes to a file of that name. */
    Process start(String name, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xmx384m",
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-cp",
                System.getProperty("java.class.path"),
                "io.millrace.standalone.Main"));
        command.addAll(List.of(arguments));
        Process process = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output(name).toFile())
                .start();
        all.add(process);
        return process;
    }

    /** Where the output of that name goes. */
    Path output(String name) {
        return dir.resolve(name + ".out");
    }

    /** Waits until the output holds that text. */
    void awaitOutput(String name, String text) throws IOException, InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(180);
        String seen = "";
        while (System.nanoTime() < end) {
            seen = Files.exists(output(name)) ? Files.readString(output(name), StandardCharsets.UTF_8) : "";
            if (seen.contains(text)) {
                return;
            }
            Thread.sleep(20);
        }
        throw new AssertionError(name + " did not say '" + text + "' in 180 s, but: " + seen);
    }

    /** Waits, 120 s at most. */
    static void await(String what, BooleanSupplier condition) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(120);
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > end) {
                throw new AssertionError(what + ": not within 120 s");
            }
            Thread.sleep(10);
        }
    }

    static int freePort() throws IOException {
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            return probe.getLocalPort();
        }
    }

    /** As {@code kill -9} does; returns when it is gone. */
    static void kill(Process process) throws InterruptedException {
        process.destroyForcibly();
        process.waitFor(20, TimeUnit.SECONDS);
    }

    @Override
    public void close() throws InterruptedException {
        for (Process each : all) {
            each.descendants().forEach(ProcessHandle::destroyForcibly);
            kill(each);
        }
    }
}
