package io.millrace.standalone.process;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * One part in a process of its own, started again when it dies: after 200 ms, then twice as long each time up to 10 s; a life of
 * a minute resets that.
 *
 * <p>Its standard input is a pipe that nobody writes to: it ends when this process ends, however that happens, and then the
 * child ends too ({@link ParentWatch}). What it says on standard output goes to the listener line by line; standard error goes
 * to its log file.
 */
final class Child {

    private static final Logger LOG = LoggerFactory.getLogger(Child.class);
    private static final long BACKOFF_MS_MIN = 200;
    private static final long BACKOFF_MS_MAX = 10_000;
    private static final long GOOD_LIFE_MS = 60_000;

    private final String name;
    private final List<String> command;
    private final Path log;
    private final BiConsumer<String, String> onLine;
    private final IntPredicate onEnd;
    private final Thread thread;

    private volatile boolean closing;
    private volatile @Nullable Process process;

    /**
     * Starts it.
     *
     * @param onLine hears (name, line) on the child's thread
     * @param onEnd hears the exit status, and says whether it is to start again
     */
    Child(String name, List<String> command, Path log, BiConsumer<String, String> onLine, IntPredicate onEnd) {
        this.name = name;
        this.command = command;
        this.log = log;
        this.onLine = onLine;
        this.onEnd = onEnd;
        this.thread = Thread.ofVirtual().name("child-" + name).start(this::keepAlive);
    }

    long pid() {
        Process now = process;
        return now == null ? -1 : now.pid();
    }

    private void keepAlive() {
        long backoff = BACKOFF_MS_MIN;
        while (!closing) {
            long began = System.nanoTime();
            int status = runOnce();
            if (closing || !onEnd.test(status)) {
                return;
            }
            long lived = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - began);
            backoff = lived > GOOD_LIFE_MS ? BACKOFF_MS_MIN : backoff;
            LOG.warn(
                    "{} ended with status {} after {} ms; it starts again in {} ms (its log: {})",
                    name,
                    status,
                    lived,
                    backoff,
                    log);
            try {
                TimeUnit.MILLISECONDS.sleep(backoff);
            } catch (InterruptedException e) {
                return;
            }
            backoff = Math.min(BACKOFF_MS_MAX, 2 * backoff);
        }
    }

    private int runOnce() {
        try {
            Process started = new ProcessBuilder(command)
                    .redirectError(ProcessBuilder.Redirect.appendTo(log.toFile()))
                    .start();
            process = started;
            if (closing) {
                started.destroy();
            }
            try (BufferedReader lines = started.inputReader(StandardCharsets.UTF_8)) {
                for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                    onLine.accept(name, line);
                }
            }
            return started.waitFor();
        } catch (IOException e) {
            if (!closing) {
                LOG.error("{} did not start: {}", name, e.getMessage());
            }
            return -1;
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return -1;
        }
    }

    /** Asks it to end; does not wait. */
    void stop() {
        closing = true;
        Process now = process;
        if (now != null) {
            now.destroy();
        }
    }

    /** Waits until it has ended after {@link #stop}, and ends it when it has not within that time. */
    void awaitEnd(long patienceMs) {
        Process now = process;
        try {
            if (now != null && !now.waitFor(patienceMs, TimeUnit.MILLISECONDS)) {
                now.destroyForcibly();
            }
        } catch (InterruptedException e) {
            now.destroyForcibly();
            Thread.currentThread().interrupt();
        }
        thread.interrupt();
    }
}
