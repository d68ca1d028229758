package io.millrace.bench.chaos;

import io.millrace.bench.chaos.ChaosNode.Role;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Does faults one after the other, each when some request is in the phase that it is aimed at, and waits until all is well again. One thread's. */
final class Striker {

    private static final long AIM_NANOS_MAX = 4_000_000_000L;
    private static final long STEADY_NANOS_MAX = 120_000_000_000L;
    private static final int BURST = 6;

    private final ChaosCluster cluster;
    private final BrokerView brokers;
    private final JournalWatch watch;
    private final Load load;
    private final SplittableRandom random;
    private final List<Struck> done = new ArrayList<>();

    /** Who is struck, and at which moment. */
    private record Blow(ChaosNode victim, long ms, long nanos, List<StreamState> open, int through) {}

    Striker(ChaosCluster cluster, BrokerView brokers, JournalWatch watch, Load load, long seed) {
        this.cluster = cluster;
        this.brokers = brokers;
        this.watch = watch;
        this.load = load;
        this.random = new SplittableRandom(seed);
    }

    /** Those that this cluster can suffer. */
    static List<FaultKind> possible(ChaosCluster cluster) {
        boolean cut = cluster.nodes(Role.WORKER).getFirst().cut() != null;
        int count = cluster.nodes(Role.BROKER).size();
        return List.of(FaultKind.values()).stream()
                .filter(kind -> cut || kind.act() != FaultKind.Act.CUT)
                .filter(kind -> kind.role() != Role.BROKER || count >= 3 || kind == FaultKind.BROKER_KILL_LEADER)
                .toList();
    }

    /** What was done so far. */
    List<Struck> done() {
        return List.copyOf(done);
    }

    /** Does one fault, and before it another when it is to meet requests that resume. */
    Struck strike(FaultKind kind, Phase aim, LoadLevel level)
            throws IOException, InterruptedException, TimeoutException {
        if (aim == Phase.RESUMING) {
            ChaosNode first = aim(FaultKind.WORKER_KILL, Phase.DECODING);
            Blow blow = blow(first);
            first.kill();
            ChaosNode second = aim(kind, aim);
            Struck struck = strike(kind, aim, level, second);
            first.start();
            cluster.awaitReady(first);
            done.add(struck(FaultKind.WORKER_KILL, Phase.DECODING, level, blow, awaitSteady(blow)));
            return struck;
        }
        return strike(kind, aim, level, aim(kind, aim));
    }

    private Struck strike(FaultKind kind, Phase aim, LoadLevel level, ChaosNode victim)
            throws IOException, InterruptedException, TimeoutException {
        Blow blow = blow(victim);
        switch (kind.act()) {
            case KILL -> {
                victim.kill();
                victim.start();
            }
            case PAUSE -> {
                victim.pause();
                TimeUnit.MILLISECONDS.sleep(kind.ms());
                victim.resume();
            }
            case CUT -> {
                KafkaCut cut = victim.cut();
                if (cut != null) {
                    cut.cut();
                    TimeUnit.MILLISECONDS.sleep(kind.ms());
                    cut.heal();
                }
            }
            case TERMINATE -> {
                victim.terminate();
                victim.start();
            }
            case ROLL -> {
                for (ChaosNode each : cluster.nodes(Role.WORKER)) {
                    if (each.isReady()) {
                        each.terminate();
                        each.start();
                        cluster.awaitReady(each);
                    }
                }
            }
        }
        cluster.awaitReady(victim);
        Struck struck = struck(kind, aim, level, blow, awaitSteady(blow));
        done.add(struck);
        return struck;
    }

    private Blow blow(ChaosNode victim) {
        long ms = System.currentTimeMillis();
        long nanos = System.nanoTime();
        List<StreamState> open = List.copyOf(load.open());
        int through =
                (int) open.stream().filter(state -> servedBy(state, victim)).count();
        return new Blow(victim, ms, nanos, open, through);
    }

    private boolean servedBy(StreamState state, ChaosNode node) {
        return switch (node.role()) {
            case GATEWAY -> state.lastGateway() == node;
            case WORKER -> {
                Tale tale = watch.tale(state.requestId());
                yield tale != null && tale.worker().equals(node.name());
            }
            case BROKER, ROUTER -> true;
        };
    }

    private Struck struck(FaultKind kind, Phase aim, LoadLevel level, Blow blow, boolean steady) {
        return new Struck(
                done.size() + 1,
                kind,
                aim,
                level,
                blow.victim().name(),
                blow.ms(),
                blow.nanos(),
                blow.open(),
                blow.through(),
                System.nanoTime() - blow.nanos(),
                steady);
    }

    /** All copies in sync, and every stream that had begun has gone on or ended. */
    private boolean awaitSteady(Blow blow) throws InterruptedException {
        long since = System.nanoTime();
        long end = since + STEADY_NANOS_MAX;
        boolean inSync = blow.victim().role() != Role.BROKER;
        while (System.nanoTime() - end < 0) {
            inSync = inSync || brokers.allInSync();
            if (inSync
                    && blow.open().stream()
                            .allMatch(state -> state.isOver()
                                    || state.progressNanos() == 0
                                    || state.progressNanos() - since > 0)) {
                return true;
            }
            TimeUnit.MILLISECONDS.sleep(10);
        }
        return false;
    }

    /** Waits until a request is in that phase, and returns whom to strike. */
    private ChaosNode aim(FaultKind kind, Phase phase) throws InterruptedException, TimeoutException {
        ChaosNode broker = kind.role() == Role.BROKER ? broker(kind) : null;
        switch (phase) {
            case BEFORE_ADMISSION -> {
                load.burst(BURST);
                TimeUnit.MILLISECONDS.sleep(random.nextInt(1, 25));
                return broker != null ? broker : any(candidates(kind));
            }
            case QUEUED -> load.burst(cluster.setup().capacity() + BURST);
            case PREFILL -> load.burst(BURST);
            case DECODING, NEAR_END, RESUMING -> {
                // There are some, or soon will be.
            }
        }
        long end = System.nanoTime() + AIM_NANOS_MAX;
        while (System.nanoTime() - end < 0) {
            long now = System.currentTimeMillis();
            ChaosNode found = inPhase(kind, phase, now, broker);
            if (found != null) {
                return found;
            }
            TimeUnit.MILLISECONDS.sleep(2);
        }
        return broker != null ? broker : any(candidates(kind));
    }

    private @Nullable ChaosNode inPhase(FaultKind kind, Phase phase, long now, @Nullable ChaosNode broker) {
        List<ChaosNode> candidates = broker == null ? candidates(kind) : List.of(broker);
        for (Tale tale : watch.open()) {
            if (tale.phaseAt(now) == phase) {
                for (ChaosNode node : candidates) {
                    if (meets(tale, phase, node)) {
                        return node;
                    }
                }
            }
        }
        return null;
    }

    private static boolean meets(Tale tale, Phase phase, ChaosNode node) {
        return switch (node.role()) {
            case WORKER -> phase == Phase.QUEUED || tale.worker().equals(node.name());
            case GATEWAY -> tale.gateway().equals(node.name());
            case BROKER, ROUTER -> true;
        };
    }

    private List<ChaosNode> candidates(FaultKind kind) {
        List<ChaosNode> all = cluster.nodes(kind.role()).stream()
                .filter(ChaosNode::isReady)
                .filter(node -> kind.act() != FaultKind.Act.CUT || node.cut() != null)
                .toList();
        return all.isEmpty() ? cluster.nodes(kind.role()) : all;
    }

    private ChaosNode any(Collection<ChaosNode> nodes) {
        return List.copyOf(nodes).get(random.nextInt(nodes.size()));
    }

    private ChaosNode broker(FaultKind kind) throws InterruptedException, TimeoutException {
        List<ChaosNode> all = cluster.nodes(Role.BROKER);
        if (all.size() == 1) {
            return all.getFirst();
        }
        int id = switch (kind) {
            case BROKER_KILL_FOLLOWER -> brokers.follower();
            case BROKER_KILL_CONTROLLER -> brokers.controller();
            default -> brokers.leader();
        };
        return all.get(id - 1);
    }
}
