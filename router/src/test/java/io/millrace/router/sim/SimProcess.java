package io.millrace.router.sim;

import java.util.HashMap;
import java.util.Map;

/** A process: may be paused, cut off from the log, or dead. Paused means that nothing runs until it wakes. */
abstract class SimProcess {

    final SimWorld world;
    final String name;
    boolean dead;
    long pausedUntil;
    long cutUntil;
    /** When its last append to a partition arrives there: appends of one process to one partition keep their order. */
    final Map<Integer, Long> lastArrival = new HashMap<>();

    private final int pollMsMin;
    private final int pollMsMax;

    SimProcess(SimWorld world, String name, int pollMsMin, int pollMsMax) {
        this.world = world;
        this.name = name;
        this.pollMsMin = pollMsMin;
        this.pollMsMax = pollMsMax;
    }

    abstract void poll();

    void run() {
        world.at(world.now + 1, this::cycle);
    }

    private void cycle() {
        if (dead || world.over) {
            return;
        }
        if (world.now < pausedUntil) {
            world.at(pausedUntil, this::cycle);
            return;
        }
        poll();
        world.at(world.now + world.between(pollMsMin, pollMsMax), this::cycle);
    }

    /** Runs something in the process when it is awake; never after its death. */
    void deliver(Runnable task) {
        if (dead) {
            return;
        }
        if (world.now < pausedUntil) {
            world.at(pausedUntil, () -> deliver(task));
        } else {
            task.run();
        }
    }

    void die(String why) {
        dead = true;
        world.trace("%s dies: %s", name, why);
    }
}
