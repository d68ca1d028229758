package io.millrace.bench;

import io.millrace.router.core.membership.LogProgress;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.membership.Workers;
import io.millrace.router.core.placement.Demand;
import io.millrace.router.core.placement.Fleet;
import io.millrace.router.core.placement.Placement;
import io.millrace.shared.proto.PrefixHint;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.HdrHistogram.Histogram;

/**
 * What one decision of the router's placement takes, among so many workers: the code that the router runs, on beats as workers send
 * them. Prompts are a system prompt of many tenants' (a few popular, most rare), a conversation's turns so far, and a new one. Between two
 * decisions requests end and beats arrive, as they would at one of several routers.
 */
final class PlacementDecisions {

    private static final String MODEL = "model";
    private static final int HINTS = 128;
    private static final int PLACES = 64;
    private static final int SYSTEM_PROMPTS = 200;
    private static final int CHUNK_TOKENS = 64;
    private static final int BEATS_BETWEEN = 25;

    private record Sent(Worker worker, long promptTokens, long cachedTokens, List<Long> prefixHashes)
            implements Worker.Load {

        @Override
        public String model() {
            return MODEL;
        }

        @Override
        public long slotOffset() {
            return 0;
        }

        @Override
        public boolean solo() {
            return false;
        }
    }

    private final int workers;
    private final int open;
    private final SplittableRandom random = new SplittableRandom(17);
    private final Fleet fleet = new Fleet(2);
    private final Workers known = new Workers(new LogProgress(200, 1_000), fleet);
    private final Placement placement = new Placement(fleet, random.split(), Placement.Rules.DEFAULT);
    private final ArrayDeque<Sent> running = new ArrayDeque<>();
    private final List<WorkerBeat> beats = new ArrayList<>();
    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    final Histogram decisionNanos = new Histogram(10_000_000_000L, 3);
    /** Of the processor: without what others of the machine take in between. */
    final Histogram decisionCpuNanos = new Histogram(10_000_000_000L, 3);

    final Histogram beatNanos = new Histogram(10_000_000_000L, 3);
    private long withPrefix;
    private long looks;

    /** @param open requests that are with the workers at any time */
    PlacementDecisions(int workers, int open) {
        this.workers = workers;
        this.open = open;
        for (int i = 0; i < workers; i++) {
            beats.add(beat(i));
            known.apply(beats.get(i), 1_000);
        }
        fleet.refresh();
    }

    private WorkerBeat beat(int worker) {
        ServedModel.Builder model = ServedModel.newBuilder()
                .setName(MODEL)
                .setMaxRunning(PLACES)
                .setRunning(20 + random.nextInt(20))
                .setKvBlocksTotal(8_192)
                .setKvBlocksFree(1_000 + random.nextInt(4_000))
                .setBlockTokens(16)
                .setQueuedPrefillTokens(random.nextInt(2_000))
                .setPrefillTokensPerS(8_000 + random.nextInt(2_000))
                .setDecodeStepS(0.02 + 0.01 * random.nextDouble());
        while (model.getPrefixHintsCount() < HINTS) {
            List<Long> prompt = prompt();
            for (int i = 0; i < prompt.size(); i++) {
                if (i == prompt.size() - 1 || Integer.bitCount(i + 1) == 1) {
                    model.addPrefixHints(
                            PrefixHint.newBuilder().setHash(prompt.get(i)).setTokens(CHUNK_TOKENS * (i + 1)));
                }
            }
        }
        return WorkerBeat.newBuilder()
                .setWorker("worker-%05d".formatted(worker))
                .setIncarnation(1)
                .setAssignmentsPosition(1)
                .addModels(model)
                .build();
    }

    /** A system prompt of 4 to 36 chunks, then up to 28 of a conversation; popular ones are drawn more often, as by Zipf's law. */
    private List<Long> prompt() {
        int system = (int) Math.exp(random.nextDouble() * Math.log(SYSTEM_PROMPTS));
        List<Long> hashes = new ArrayList<>();
        SplittableRandom chain = new SplittableRandom(system);
        for (int i = 0, chunks = 4 + system % 33; i < chunks; i++) {
            hashes.add(chain.nextLong());
        }
        SplittableRandom turns = new SplittableRandom(((long) system << 32) + random.nextInt(500));
        for (int i = 0, chunks = random.nextInt(29); i < chunks; i++) {
            hashes.add(turns.nextLong());
        }
        return List.copyOf(hashes);
    }

    /** Makes so many decisions, or as many as so many seconds allow; the times of those before are forgotten. */
    void run(int decisions, long secondsMax) {
        decisionNanos.reset();
        decisionCpuNanos.reset();
        beatNanos.reset();
        withPrefix = 0;
        long before = placement.looks();
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(secondsMax);
        for (int i = 0; i < decisions && (i == 0 || System.nanoTime() < end); i++) {
            for (int b = 0; b < BEATS_BETWEEN; b++) {
                beat();
            }
            decide();
            while (running.size() > open) {
                Sent over = running.removeFirst();
                over.worker.over(over);
            }
            fleet.refresh();
        }
        looks = placement.looks() - before;
    }

    /** A worker's beat; one in ten has other hints than the one before. */
    private void beat() {
        int worker = random.nextInt(workers);
        WorkerBeat next = random.nextInt(10) == 0
                ? beat(worker)
                : beats.get(worker).toBuilder()
                        .setTimeMs(random.nextLong(1L << 40))
                        .build();
        beats.set(worker, next);
        long began = System.nanoTime();
        known.apply(next, 1_000);
        fleet.refresh();
        beatNanos.recordValue(System.nanoTime() - began);
    }

    private void decide() {
        List<Long> hashes = prompt();
        Demand demand = new Demand((long) CHUNK_TOKENS * hashes.size() + 32, 200, hashes, "", false, false);
        long cpuBegan = THREADS.getCurrentThreadCpuTime();
        long began = System.nanoTime();
        Placement.Choice choice = placement.room(MODEL, 0) ? placement.choose(MODEL, 0, demand) : null;
        Sent sent =
                choice == null ? null : new Sent(choice.worker(), demand.promptTokens(), choice.cachedTokens(), hashes);
        if (sent != null) {
            sent.worker.sent(sent);
        }
        decisionNanos.recordValue(System.nanoTime() - began);
        decisionCpuNanos.recordValue(THREADS.getCurrentThreadCpuTime() - cpuBegan);
        running.add(Objects.requireNonNull(sent, "the load is one that the workers can bear"));
        withPrefix += sent.cachedTokens > 0 ? 1 : 0;
    }

    /** Share of the decisions that found a worker with some of the prompt. */
    double withPrefix() {
        return (double) withPrefix / decisionNanos.getTotalCount();
    }

    /** Workers looked at for a decision, on average. */
    double looks() {
        return (double) looks / decisionNanos.getTotalCount();
    }
}
