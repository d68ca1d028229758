package io.millrace.bench.chaos;

import io.millrace.bench.chaos.ChaosNode.Role;

/** What is done to a process. */
enum FaultKind {
    WORKER_KILL(Role.WORKER, Act.KILL, 0),
    WORKER_PAUSE_SHORT(Role.WORKER, Act.PAUSE, 400),
    WORKER_PAUSE_LONG(Role.WORKER, Act.PAUSE, 4_000),
    WORKER_CUT(Role.WORKER, Act.CUT, 4_000),
    /** Beyond the lease: the worker stops its attempts by itself. */
    WORKER_CUT_LONG(Role.WORKER, Act.CUT, 20_000),
    WORKER_DRAIN(Role.WORKER, Act.TERMINATE, 0),
    ROUTER_KILL(Role.ROUTER, Act.KILL, 0),
    ROUTER_PAUSE_SHORT(Role.ROUTER, Act.PAUSE, 400),
    ROUTER_PAUSE_LONG(Role.ROUTER, Act.PAUSE, 4_000),
    ROUTER_CUT(Role.ROUTER, Act.CUT, 4_000),
    ROUTER_STOP(Role.ROUTER, Act.TERMINATE, 0),
    GATEWAY_KILL(Role.GATEWAY, Act.KILL, 0),
    GATEWAY_PAUSE_SHORT(Role.GATEWAY, Act.PAUSE, 400),
    GATEWAY_PAUSE_LONG(Role.GATEWAY, Act.PAUSE, 8_000),
    GATEWAY_CUT(Role.GATEWAY, Act.CUT, 4_000),
    GATEWAY_STOP(Role.GATEWAY, Act.TERMINATE, 0),
    BROKER_KILL_LEADER(Role.BROKER, Act.KILL, 0),
    BROKER_KILL_FOLLOWER(Role.BROKER, Act.KILL, 0),
    BROKER_KILL_CONTROLLER(Role.BROKER, Act.KILL, 0),
    BROKER_PAUSE_LEADER(Role.BROKER, Act.PAUSE, 4_000),
    /** Each worker drained and started again, one after the other. */
    ROLLING_RESTART(Role.WORKER, Act.ROLL, 0);

    /** How. */
    enum Act {
        KILL,
        PAUSE,
        /** From Kafka: what it sends and what is sent to it waits, its connections stay. */
        CUT,
        TERMINATE,
        ROLL
    }

    private final Role role;
    private final Act act;
    private final long ms;

    FaultKind(Role role, Act act, long ms) {
        this.role = role;
        this.act = act;
        this.ms = ms;
    }

    Role role() {
        return role;
    }

    Act act() {
        return act;
    }

    /** How long it lasts; 0 for what is done once. */
    long ms() {
        return ms;
    }

    String words() {
        return name().toLowerCase(java.util.Locale.ROOT).replace('_', ' ');
    }
}
