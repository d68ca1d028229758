package io.millrace.bench.chaos;

import io.millrace.standalone.process.Children;
import io.millrace.standalone.process.ProgramProcesses;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** One process of the cluster, over all its lives. Thread-safe, but of what is done to it one thing at a time. */
final class ChaosNode {

    /** What it runs. */
    enum Role {
        BROKER,
        ROUTER,
        GATEWAY,
        WORKER;

        String command() {
            return name().toLowerCase(java.util.Locale.ROOT);
        }
    }

    private static final long READY_S_MAX = 180;
    private static final long DRAINED_S_MAX = 40;

    private final ProgramProcesses processes;
    private final Role role;
    private final int index;
    private final List<String> jvm;
    private final List<String> arguments;
    private final @Nullable KafkaCut cut;
    private int life;
    private volatile @Nullable Process process;
    private volatile boolean ready;

    /**
     * Not started yet.
     *
     * @param index from 1 in its role
     * @param cut between it and the brokers; null: it cannot be cut off
     */
    ChaosNode(
            ProgramProcesses processes,
            Role role,
            int index,
            List<String> jvm,
            List<String> arguments,
            @Nullable KafkaCut cut) {
        this.processes = processes;
        this.role = role;
        this.index = index;
        this.jvm = List.copyOf(jvm);
        this.arguments = List.copyOf(arguments);
        this.cut = cut;
    }

    Role role() {
        return role;
    }

    int index() {
        return index;
    }

    String name() {
        return role.command() + "-" + index;
    }

    @Nullable
    KafkaCut cut() {
        return cut;
    }

    /** It takes work in this life, and nothing was done to it since that ends it. */
    boolean isReady() {
        return ready;
    }

    /** Starts it; does not wait. It ends with this process, since it watches its standard input. */
    void start() throws IOException {
        life++;
        List<String> all = new ArrayList<>(List.of(role.command()));
        all.addAll(arguments);
        all.add(Children.CHILD_FLAG);
        process = processes.start(output(), jvm, all);
    }

    /** Waits until it says that it runs. */
    void awaitStarted() throws IOException, InterruptedException, TimeoutException {
        processes.awaitOutput(output(), Children.READY, READY_S_MAX);
    }

    /** From now on work may be sent there. */
    void markReady() {
        ready = true;
    }

    private String output() {
        return name() + "." + life;
    }

    private Process running() {
        Process now = process;
        if (now == null) {
            throw new IllegalStateException(name() + " was not started");
        }
        return now;
    }

    void kill() throws InterruptedException {
        ready = false;
        ProgramProcesses.kill(running());
    }

    void pause() throws IOException, InterruptedException {
        ProgramProcesses.pause(running());
    }

    void resume() throws IOException, InterruptedException {
        ProgramProcesses.resume(running());
    }

    /** Asks it to end and waits until it has; returns whether it did by itself. */
    boolean terminate() throws InterruptedException {
        ready = false;
        Process now = running();
        now.destroy();
        boolean gone = now.waitFor(DRAINED_S_MAX, TimeUnit.SECONDS);
        if (!gone) {
            ProgramProcesses.kill(now);
        }
        return gone;
    }
}
