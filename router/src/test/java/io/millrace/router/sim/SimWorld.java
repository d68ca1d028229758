package io.millrace.router.sim;

import io.millrace.router.core.MutantCores;
import io.millrace.router.core.RouterCoreConfig;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogRecord;
import java.util.ArrayList;
import java.util.List;
import java.util.PriorityQueue;
import java.util.SplittableRandom;

/** One run: processes, log and faults, all from one seed, in virtual time. */
final class SimWorld {

    static final String MODEL = "m";
    static final long START_MS = 1_000_000;

    private static final long FAULTS_UNTIL_MS = START_MS + 9_000;
    private static final long LIMIT_MS = START_MS + 130_000;

    /** What a run came to. */
    record Outcome(
            List<String> violations,
            int submitted,
            int completed,
            int tokens,
            int fences,
            int deadLetters,
            long virtualMs,
            List<String> trace) {}

    private record Event(long at, long sequence, Runnable task) {}

    final Mutation mutation;
    final SplittableRandom random;
    final SimLog log;
    final Oracle oracle;
    final int partitions;
    double yieldRate;
    private boolean poisonous;
    private final boolean tracing;
    private final List<String> trace = new ArrayList<>();
    private final PriorityQueue<Event> events = new PriorityQueue<>(
            (a, b) -> a.at != b.at ? Long.compare(a.at, b.at) : Long.compare(a.sequence, b.sequence));
    private final List<SimRouter> routers = new ArrayList<>();
    private final List<SimWorker> workers = new ArrayList<>();
    private final List<SimGateway> gateways = new ArrayList<>();
    private final Faults faults;
    long now = START_MS;
    boolean over;
    int fences;
    int deadLetters;
    private long sequence;

    SimWorld(long seed, Mutation mutation, boolean tracing) {
        this.mutation = mutation;
        this.tracing = tracing;
        random = new SplittableRandom(MockEngine.mix(seed));
        log = new SimLog(this);
        partitions = chance(0.8) ? 1 : 2;
        yieldRate = chance(0.2) ? 0.02 : 0;
        poisonous = chance(0.05);
        oracle = new Oracle(this);
        faults = new Faults(this, routers, workers, gateways);
    }

    static Outcome run(long seed, Mutation mutation, boolean tracing) {
        return run(seed, mutation, Faults.Plan.RANDOM, tracing);
    }

    static Outcome run(long seed, Mutation mutation, Faults.Plan plan, boolean tracing) {
        return new SimWorld(seed, mutation, tracing).run(plan);
    }

    private Outcome run(Faults.Plan plan) {
        if (plan == Faults.Plan.STALLS) {
            poisonous = false;
            yieldRate = 0;
        }
        faults.start(plan, FAULTS_UNTIL_MS);
        long checkAt = now;
        long endedAt = -1;
        while (!over) {
            Event next = events.poll();
            if (next == null || next.at > LIMIT_MS) {
                over = true;
                break;
            }
            now = next.at;
            next.task.run();
            if (now >= checkAt) {
                checkAt = now + 100;
                boolean idle =
                        now > FAULTS_UNTIL_MS && gateways.stream().allMatch(SimGateway::idle) && oracle.allEnded();
                endedAt = !idle ? -1 : endedAt < 0 ? now : endedAt;
                over = endedAt >= 0 && now - endedAt > 1_500 || !oracle.violations.isEmpty() && !tracing;
            }
        }
        String open = oracle.firstOpen();
        if (open != null && now >= LIMIT_MS - 1_000) {
            oracle.violation("not ended: %s", open);
        }
        for (int p = 0; p < partitions; p++) {
            List<PartitionFold> folds = new ArrayList<>();
            for (SimRouter router : routers) {
                if (!router.dead) {
                    folds.addAll(MutantCores.folds(router.core, p));
                }
            }
            oracle.compareReaders(folds, p);
        }
        return new Outcome(
                oracle.violations,
                oracle.submitted(),
                oracle.completed,
                oracle.accepted,
                fences,
                deadLetters,
                now - START_MS,
                trace);
    }

    RouterCoreConfig config(String node, long incarnation) {
        RouterCoreConfig base = RouterCoreConfig.defaults(node, incarnation, partitions);
        return base.with(base.timing().withDetachGraceMs(2_000).withNoWorkerAfterMs(4_000));
    }

    void at(long when, Runnable task) {
        events.add(new Event(Math.max(when, now), sequence++, task));
    }

    boolean chance(double share) {
        return share > 0 && random.nextDouble() < share;
    }

    /** Uniform, both ends included. */
    int between(int least, int most) {
        return least + random.nextInt(most - least + 1);
    }

    String prompt() {
        if (poisonous && chance(0.2)) {
            return "poison";
        }
        return chance(0.03) ? "refuse" : "hello";
    }

    void landed(LogRecord record, SimProcess from) {
        oracle.landed(record);
    }

    void watch(SimRouter router, String worker, long incarnation) {
        faults.watch(router, worker, incarnation);
    }

    void died(SimWorker worker) {
        faults.died(worker);
    }

    void trace(String format, Object... args) {
        if (tracing) {
            trace.add((now - START_MS) + " " + format.formatted(args));
        }
    }
}
