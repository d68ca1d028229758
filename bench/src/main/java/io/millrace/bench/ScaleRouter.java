package io.millrace.bench;

import io.millrace.router.core.Effect;
import io.millrace.router.core.RouterCore;
import io.millrace.router.core.RouterCoreConfig;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.lang.management.ManagementFactory;
import java.lang.management.ThreadMXBean;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeSet;

/** One router of the simulated deployment: the real core, fed turn by turn, and the processor time that it takes. Not thread-safe. */
final class ScaleRouter {

    /** An append of this router that stands in the log. */
    record Landed(long token, long offset) {}

    private static final ThreadMXBean THREADS = ManagementFactory.getThreadMXBean();

    private final RouterCore core;
    private final Map<Topic, TreeSet<Integer>> reads = new EnumMap<>(Topic.class);
    private final List<Effect.StartReading> begun = new ArrayList<>();
    private List<Effect.Append> appends = new ArrayList<>();
    private final List<Landed> landed = new ArrayList<>();
    private long cpuNanos;

    ScaleRouter(int number, int partitions) {
        core = new RouterCore(
                RouterCoreConfig.defaults("router-" + number, 1_000_000L + number, partitions),
                new SplittableRandom(number));
        for (Topic topic : Topic.values()) {
            reads.put(topic, new TreeSet<>());
        }
    }

    void start(long nowMs) {
        carryOut(core.start(nowMs));
    }

    private void carryOut(List<Effect> effects) {
        for (Effect effect : effects) {
            switch (effect) {
                case Effect.Append append -> appends.add(append);
                case Effect.StartReading start -> {
                    reads(start.topic()).add(start.partition());
                    begun.add(start);
                }
                case Effect.StopReading stop -> reads(stop.topic()).remove(stop.partition());
                case Effect.ConnectLiveness connect -> {}
                case Effect.DisconnectLiveness gone -> {}
                case Effect.Observe observe -> {}
            }
        }
    }

    private TreeSet<Integer> reads(Topic topic) {
        TreeSet<Integer> partitions = reads.get(topic);
        if (partitions == null) {
            throw new IllegalStateException("every topic has its partitions");
        }
        return partitions;
    }

    /** Takes in what the log has since the last turn, and the time. */
    void turn(ScaleLog log, long nowMs) {
        long began = THREADS.getCurrentThreadCpuTime();
        List<Landed> acknowledged = List.copyOf(landed);
        landed.clear();
        for (Landed each : acknowledged) {
            carryOut(core.onAppended(each.token(), each.offset(), nowMs));
        }
        for (Topic topic : List.of(Topic.MEMBERS, Topic.WORKERS, Topic.REQUESTS, Topic.RESPONSES)) {
            for (int partition : List.copyOf(reads(topic))) {
                for (LogRecord record : log.fresh(topic, partition)) {
                    carryOut(core.onRecord(record, nowMs));
                }
            }
        }
        while (!begun.isEmpty()) {
            Effect.StartReading start = begun.removeFirst();
            carryOut(core.onCaughtUp(
                    start.topic(), start.partition(), log.next(start.topic(), start.partition()), nowMs));
        }
        carryOut(core.onTick(nowMs));
        cpuNanos += THREADS.getCurrentThreadCpuTime() - began;
    }

    /** Appends since the last call. */
    List<Effect.Append> appends() {
        List<Effect.Append> taken = appends;
        appends = new ArrayList<>();
        return taken;
    }

    void landed(long token, long offset) {
        landed.add(new Landed(token, offset));
    }

    /** Partitions of requests that it acts for. */
    int active() {
        return (int) core.owned().stream().filter(core::active).count();
    }

    int openRequests() {
        return core.openRequests();
    }

    long cpuNanos() {
        return cpuNanos;
    }
}
