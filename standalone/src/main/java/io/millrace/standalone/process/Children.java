package io.millrace.standalone.process;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.BiConsumer;

/** The child processes of {@code up --processes}: this JVM's own class path and options, each with its log file. */
public final class Children implements AutoCloseable {

    /** Flag that tells a child to end with its parent and to report on standard output. */
    public static final String CHILD_FLAG = "--child";

    /** A child's line that says it is ready; what follows is its address. */
    public static final String READY = "millrace:ready ";

    /** Name of the child that ends last, since the others need it for that. */
    public static final String BROKER = "broker";

    /** Longest that {@link #close} takes. */
    public static final Duration CLOSE_MAX = Duration.ofMillis(13_000);

    /** What all but the broker have together, from when they are asked to end. */
    private static final long HAND_OVER_MS = 10_000;

    private static final long BROKER_MS = 3_000;

    private final String mainClass;
    private final Path logs;
    private final BiConsumer<String, String> progress;
    private final Map<String, Child> children = new LinkedHashMap<>();
    private final Map<String, String> ready = new ConcurrentHashMap<>();
    private final Map<String, String> failed = new ConcurrentHashMap<>();

    /**
     * No children yet.
     *
     * @param logs folder of their log files
     * @param progress hears (name, line) of what they say beside being ready
     */
    public Children(String mainClass, Path logs, BiConsumer<String, String> progress) {
        this.mainClass = mainClass;
        this.logs = logs;
        this.progress = progress;
        try {
            Files.createDirectories(logs);
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-PROC-001",
                    "The folder for logs, " + logs + ", cannot be made (" + e + "). Give --data-dir.",
                    e);
        }
    }

    /** Starts one. */
    public void start(String name, List<String> arguments) {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(a -> !a.startsWith("-agentlib")
                        && !a.startsWith("-javaagent")
                        && !a.contains("AutoCreateSharedArchive"))
                .forEach(command::add);
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), mainClass));
        command.addAll(arguments);
        command.add(CHILD_FLAG);
        children.put(
                name,
                new Child(name, command, logs.resolve(name + ".log"), this::onLine, status -> onEnd(name, status)));
    }

    /** One that ends with a coded error or wrong usage before it was ever ready would do so again. */
    private boolean onEnd(String name, int status) {
        synchronized (ready) {
            if (ready.containsKey(name) || (status != 1 && status != 2)) {
                return true;
            }
            failed.put(name, lastLine(logs.resolve(name + ".log")));
            ready.notifyAll();
            return false;
        }
    }

    private static String lastLine(Path file) {
        try {
            List<String> lines = Files.readAllLines(file, StandardCharsets.UTF_8);
            return lines.stream()
                    .filter(l -> l.startsWith("[MR-"))
                    .reduce((a, b) -> b)
                    .orElse("");
        } catch (IOException e) {
            return "";
        }
    }

    private void onLine(String name, String line) {
        if (line.startsWith(READY)) {
            synchronized (ready) {
                ready.put(name, line.substring(READY.length()));
                ready.notifyAll();
            }
        } else {
            progress.accept(name, line);
        }
    }

    /** Waits until that child is ready; returns the address it named. */
    public String await(String name, long patienceMs) throws InterruptedException, TimeoutException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(patienceMs);
        synchronized (ready) {
            String address = ready.get(name);
            while (address == null) {
                String why = failed.get(name);
                if (why != null) {
                    throw new MillraceException(
                            "MR-PROC-002",
                            name + " did not start" + (why.isEmpty() ? "" : ": " + why) + " (its log: "
                                    + logs.resolve(name + ".log") + ")");
                }
                long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
                if (left <= 0) {
                    throw new TimeoutException(
                            name + " was not ready within " + patienceMs + " ms; see " + logs.resolve(name + ".log"));
                }
                ready.wait(left);
                address = ready.get(name);
            }
            return address;
        }
    }

    /** Process id of a child; -1 while it is not running. */
    public long pid(String name) {
        Child child = children.get(name);
        return child == null ? -1 : child.pid();
    }

    /** Ends all of them at once, and after them the broker: workers may still hand over what they run. */
    @Override
    public void close() {
        Child broker = children.get(BROKER);
        List<Child> others =
                children.values().stream().filter(child -> child != broker).toList();
        others.forEach(Child::stop);
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(HAND_OVER_MS);
        for (Child child : others) {
            child.awaitEnd(Math.max(0, TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())));
        }
        if (broker != null) {
            broker.stop();
            broker.awaitEnd(BROKER_MS);
        }
    }
}
