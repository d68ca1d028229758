package io.millrace.standalone.system;

import io.millrace.shared.net.FreePort;
import io.millrace.standalone.Main;
import io.millrace.standalone.process.ProgramProcesses;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BooleanSupplier;

/** Commands of the program in processes of their own, on the tests' class path. */
final class Processes implements AutoCloseable {

    private final ProgramProcesses processes;

    Processes(Path dir) {
        this.processes = new ProgramProcesses(dir, Main.class.getName());
    }

    /** Starts a command; its output goes to a file of that name. */
    Process start(String name, String... arguments) throws IOException {
        return processes.start(name, List.of(), List.of(arguments));
    }

    /** The same with further variables. */
    Process start(String name, Map<String, String> environment, String... arguments) throws IOException {
        return processes.start(name, List.of(), environment, List.of(arguments));
    }

    /** The same with that much heap; a process that has none left ends. */
    Process start(String name, String heap, String[] arguments) throws IOException {
        return processes.start(name, List.of("-Xmx" + heap, "-XX:+ExitOnOutOfMemoryError"), List.of(arguments));
    }

    /** Where the output of that name goes. */
    Path output(String name) {
        return processes.output(name);
    }

    /** Waits until the output holds that text. */
    void awaitOutput(String name, String text) throws IOException, InterruptedException {
        try {
            processes.awaitOutput(name, text, 180);
        } catch (TimeoutException late) {
            throw new AssertionError(late.getMessage(), late);
        }
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
        return FreePort.on("127.0.0.1");
    }

    /** As {@code kill -9} does; returns when it is gone. */
    static void kill(Process process) throws InterruptedException {
        ProgramProcesses.kill(process);
    }

    @Override
    public void close() throws InterruptedException {
        processes.close();
    }
}
