package io.millrace.standalone.process;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Commands of the program in processes of their own, on this JVM's class path, for whoever starts, pauses and kills them one by one:
 * unlike {@link Children}, it starts nothing again. Thread-safe.
 */
public final class ProgramProcesses implements AutoCloseable {

    private static final int POLL_MS = 20;
    private static final int GONE_S_MAX = 20;

    private final Path dir;
    private final String mainClass;
    private final Set<Process> all = ConcurrentHashMap.newKeySet();

    /**
     * None yet.
     *
     * @param dir where their output goes
     */
    public ProgramProcesses(Path dir, String mainClass) {
        this.dir = dir;
        this.mainClass = mainClass;
    }

    /**
     * Starts a command in a small JVM; its output goes to a file of that name.
     *
     * @param jvm further options of the JVM
     */
    public Process start(String name, List<String> jvm, List<String> arguments) throws IOException {
        return start(name, jvm, Map.of(), arguments);
    }

    /** The same with further variables. */
    public Process start(String name, List<String> jvm, Map<String, String> environment, List<String> arguments)
            throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "-XX:+UseSerialGC",
                "-Xmx384m",
                "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow"));
        command.addAll(jvm);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), mainClass));
        command.addAll(arguments);
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(output(name).toFile());
        builder.environment().putAll(environment);
        Process process = builder.start();
        all.add(process);
        return process;
    }

    /** Where the output of that name goes. */
    public Path output(String name) {
        return dir.resolve(name + ".out");
    }

    /** Waits until the output holds that text. */
    public void awaitOutput(String name, String text, long patienceS)
            throws IOException, InterruptedException, TimeoutException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(patienceS);
        String seen = "";
        while (System.nanoTime() < end) {
            seen = Files.exists(output(name)) ? Files.readString(output(name), StandardCharsets.UTF_8) : "";
            if (seen.contains(text)) {
                return;
            }
            Thread.sleep(POLL_MS);
        }
        throw new TimeoutException(name + " did not say '" + text + "' in " + patienceS + " s, but: " + seen);
    }

    /** As {@code kill -9} does; returns when it is gone. */
    public static void kill(Process process) throws InterruptedException {
        process.destroyForcibly();
        process.waitFor(GONE_S_MAX, TimeUnit.SECONDS);
    }

    /** Stops it where it stands, as {@code kill -STOP} does: the system keeps its connections open. */
    public static void pause(Process process) throws IOException, InterruptedException {
        signal("-STOP", process);
    }

    /** Lets it go on. */
    public static void resume(Process process) throws IOException, InterruptedException {
        signal("-CONT", process);
    }

    private static void signal(String signal, Process process) throws IOException, InterruptedException {
        new ProcessBuilder("kill", signal, String.valueOf(process.pid()))
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start()
                .waitFor();
    }

    /** Kills all of them and what they started. */
    @Override
    public void close() throws InterruptedException {
        for (Process each : all) {
            each.descendants().forEach(ProcessHandle::destroyForcibly);
            each.destroyForcibly();
        }
        for (Process each : all) {
            kill(each);
        }
    }
}
