package io.millrace.router.sim;

import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;

/** Starts the processes of a run and lets things go wrong, until a time after which all is mended. */
final class Faults {

    private record Watch(SimRouter router, String worker, long incarnation) {}

    /** What goes wrong in a run. */
    enum Plan {
        /** Anything, several times. */
        RANDOM,
        /** The whole log stands still twice, as when a broker dies; nothing else. */
        STALLS
    }

    private enum Kind {
        WORKER_PAUSE,
        WORKER_CRASH,
        WORKER_TWIN,
        WORKER_CUT,
        ROUTER_PAUSE,
        ROUTER_CRASH,
        ROUTER_TWIN,
        ROUTER_CUT,
        STALL_ALL,
        STALL_ONE,
        GATEWAY_CRASH
    }

    private final SimWorld world;
    private final List<SimRouter> routers;
    private final List<SimWorker> workers;
    private final List<SimGateway> gateways;
    private final List<Watch> watches = new ArrayList<>();
    private long weights = 42;

    Faults(SimWorld world, List<SimRouter> routers, List<SimWorker> workers, List<SimGateway> gateways) {
        this.world = world;
        this.routers = routers;
        this.workers = workers;
        this.gateways = gateways;
    }

    void start(Plan plan, long untilMs) {
        int routerCount = world.between(1, 2);
        boolean sameNode = plan == Plan.RANDOM && world.chance(0.3);
        for (int i = 0; i < routerCount; i++) {
            router(sameNode ? "r0" : "r" + i);
        }
        int workerCount = world.between(1, 3);
        for (int i = 0; i < workerCount; i++) {
            worker("w" + i, i);
        }
        int requests = world.between(2, 9);
        SimGateway gateway = new SimGateway(world, "g0", requests);
        gateways.add(gateway);
        gateway.run();
        world.at(untilMs, this::mend);
        if (plan == Plan.STALLS) {
            world.at(world.now + world.between(500, 2_000), () -> strike(Kind.STALL_ALL));
            world.at(world.now + world.between(7_000, 8_000), () -> strike(Kind.STALL_ALL));
            return;
        }
        if (world.chance(0.3)) {
            world.log.loss = 0.02;
        }
        if (world.chance(0.4)) {
            world.log.late = 0.04;
        }
        int count = world.between(0, 9);
        Kind[] kinds = Kind.values();
        for (int i = 0; i < count; i++) {
            Kind kind = kinds[world.between(0, kinds.length - 1)];
            world.at(world.now + world.between(200, (int) (untilMs - world.now) - 500), () -> strike(kind));
        }
    }

    private void router(String node) {
        long incarnation = world.random.nextLong();
        SimRouter router =
                new SimRouter(world, node, incarnation, world.config(node, incarnation), world.random.split());
        routers.add(router);
        world.trace("%s starts", router.name);
        router.run();
    }

    private void worker(String id, int slot) {
        SimWorker worker = new SimWorker(world, id, slot, world.random.nextLong(), weights);
        workers.add(worker);
        world.trace("%s starts", worker.name);
        worker.run();
    }

    private void strike(Kind kind) {
        world.trace("FAULT %s", kind);
        SimWorker worker = workers.get(world.between(0, workers.size() - 1));
        SimRouter router = routers.get(world.between(0, routers.size() - 1));
        int length = world.between(300, 6_000);
        switch (kind) {
            case WORKER_PAUSE -> worker.pausedUntil = world.now + length;
            case WORKER_CRASH -> {
                if (!worker.dead) {
                    worker.die("killed");
                    died(worker);
                }
            }
            case WORKER_TWIN -> {
                if (world.chance(0.7)) {
                    worker.pausedUntil = world.now + length;
                }
                if (world.chance(0.1)) {
                    weights++;
                }
                worker(worker.worker, worker.slot);
            }
            case WORKER_CUT -> worker.cutUntil = world.now + length;
            case ROUTER_PAUSE -> router.pausedUntil = world.now + length;
            case ROUTER_CRASH -> {
                if (!router.dead) {
                    router.die("killed");
                    world.at(world.now + world.between(50, 2_000), () -> router(router.node));
                }
            }
            case ROUTER_TWIN -> router(router.node);
            case ROUTER_CUT -> router.cutUntil = world.now + length;
            case STALL_ALL -> world.log.stallAll(world.now + length);
            case STALL_ONE -> {
                Topic[] topics = Topic.values();
                Topic topic = topics[world.between(0, topics.length - 1)];
                world.log.part(topic, 0).stalledUntil = world.now + length;
            }
            case GATEWAY_CRASH -> gateways.getFirst().die("killed");
        }
    }

    void watch(SimRouter router, String worker, long incarnation) {
        watches.add(new Watch(router, worker, incarnation));
    }

    /** A worker's process is gone: its connections break, and it is started again. */
    void died(SimWorker worker) {
        for (Watch watch : watches) {
            if (watch.incarnation == worker.incarnation && world.chance(0.7)) {
                world.at(
                        world.now + world.between(5, 60),
                        () -> watch.router.livenessLost(watch.worker, watch.incarnation));
            }
        }
        world.at(world.now + world.between(300, 4_000), () -> worker(worker.worker, worker.slot));
    }

    /** No more faults: who is not dead is well, and somebody of each kind is there. */
    private void mend() {
        world.trace("all is mended");
        world.log.loss = 0;
        world.log.late = 0;
        if (workers.stream().allMatch(each -> each.dead)) {
            worker(workers.getFirst().worker, workers.getFirst().slot);
        }
    }
}
