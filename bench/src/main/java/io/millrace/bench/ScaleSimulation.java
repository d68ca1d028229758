package io.millrace.bench;

import io.millrace.router.core.Effect;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * A deployment of some size in virtual time: the routers' real core, and workers and gateways that write real records at their pace. Each
 * turn is one token of every stream. Counts what is written once all streams run that belong to the load, and the processor time of the
 * routers.
 */
final class ScaleSimulation {

    private static final long EPOCH_MS = 1_800_000_000_000L;
    private static final int HINTS = 128;
    private static final int SETTLE_TURNS = 60;
    private static final int FILL_TURNS = 2;
    private static final int STEADY_TURNS = 20;

    /** One line of the comparison: per second, and bytes of a record with Kafka's frame. */
    record Line(String topic, double paperPerS, double countedPerS, double paperBytes, double countedBytes) {}

    /**
     * What came of it.
     *
     * @param assignments in the time that was counted
     * @param routerCpuShare of a thread, of the busiest router
     * @param cpuMicrosPerAssignment of all routers together, everything they do
     */
    record Outcome(
            List<Line> lines,
            long assignments,
            double streams,
            double meanRouterCpuShare,
            double routerCpuShare,
            double cpuMicrosPerAssignment) {}

    private final LogScale scale;
    private final int partitions;
    private final long turnMs;
    private final int places;
    private final ScaleLog log = new ScaleLog(LogScale.ID.length());
    private final List<ScaleRouter> routers = new ArrayList<>();
    private final List<ScaleWorker> workers = new ArrayList<>();
    private final SplittableRandom random = new SplittableRandom(5);
    private long nowMs = EPOCH_MS;
    private long turns;
    private long submitted;
    private double due;
    /** All streams of the load run; those that follow are of full length. */
    private boolean filled;

    ScaleSimulation(LogScale scale, int partitions) {
        this.scale = scale;
        this.partitions = partitions;
        this.turnMs = Math.round(1_000 / scale.streamTokensPerS());
        this.places = (int) Math.ceil(1.28 * scale.streams() / scale.workers());
        for (int i = 0; i < scale.routers(); i++) {
            routers.add(new ScaleRouter(i, partitions));
        }
        for (int i = 0; i < scale.workers(); i++) {
            workers.add(new ScaleWorker(i, HINTS));
        }
    }

    /** Runs until it is settled and filled, then counts for so many seconds. */
    Outcome run(int seconds, int threads) throws InterruptedException {
        try (ExecutorService pool = Executors.newFixedThreadPool(threads)) {
            routers.forEach(router -> router.start(nowMs));
            for (int i = 0; i < SETTLE_TURNS; i++) {
                turn(pool, 0);
            }
            int acting = routers.stream().mapToInt(ScaleRouter::active).sum();
            if (acting != partitions) {
                throw new IllegalStateException("of %d partitions %d have a router".formatted(partitions, acting));
            }
            // Streams of all ages, so that as many end as begin.
            for (int i = 0; i < FILL_TURNS; i++) {
                turn(pool, scale.streams() / FILL_TURNS);
            }
            filled = true;
            for (int i = 0; i < STEADY_TURNS; i++) {
                turn(pool, scale.requestsPerS() * turnMs / 1e3);
            }
            return count(pool, seconds);
        }
    }

    private Outcome count(ExecutorService pool, int seconds) throws InterruptedException {
        log.forgetCounts();
        long[] before = routers.stream().mapToLong(ScaleRouter::cpuNanos).toArray();
        long counted = seconds * 1_000L / turnMs;
        double streams = 0;
        for (long i = 0; i < counted; i++) {
            turn(pool, scale.requestsPerS() * turnMs / 1e3);
            streams += workers.stream().mapToInt(ScaleWorker::running).sum() / (double) counted;
        }
        double all = 0;
        double most = 0;
        for (int i = 0; i < before.length; i++) {
            double nanos = routers.get(i).cpuNanos() - before[i];
            all += nanos;
            most = Math.max(most, nanos);
        }
        double span = counted * turnMs / 1e3;
        long assignments = log.count(Topic.ASSIGNMENTS).records;
        return new Outcome(
                lines(span),
                assignments,
                streams,
                all / before.length / span / 1e9,
                most / span / 1e9,
                all / 1e3 / Math.max(1, assignments));
    }

    private List<Line> lines(double span) {
        List<Line> lines = new ArrayList<>();
        for (LogScale.Row row : scale.rows()) {
            ScaleLog.Count count = switch (row.topic()) {
                case "requests" -> log.count(Topic.REQUESTS);
                case "responses: tokens" -> log.tokens();
                case "assignments" -> log.count(Topic.ASSIGNMENTS);
                case "workers" -> log.count(Topic.WORKERS);
                case "members" -> log.count(Topic.MEMBERS);
                case "results" -> log.count(Topic.RESULTS);
                default -> log.count(Topic.RESPONSES);
            };
            lines.add(new Line(
                    row.topic(),
                    row.recordsPerS(),
                    count.records / span,
                    row.recordBytes(),
                    (double) count.bytes / Math.max(1, count.records) + scale.frameBytes()));
        }
        return lines;
    }

    private void turn(ExecutorService pool, double requests) throws InterruptedException {
        nowMs += turnMs;
        turns++;
        due += requests;
        for (; due >= 1; due--) {
            submit();
        }
        for (ScaleWorker worker : workers) {
            worker.turn(log, nowMs);
        }
        beats();
        List<Future<?>> running = new ArrayList<>();
        for (ScaleRouter router : routers) {
            running.add(pool.submit(() -> router.turn(log, nowMs)));
        }
        for (Future<?> each : running) {
            try {
                each.get();
            } catch (ExecutionException e) {
                throw new IllegalStateException("a router failed", e.getCause());
            }
        }
        for (ScaleRouter router : routers) {
            for (Effect.Append append : router.appends()) {
                router.landed(
                        append.token(),
                        log.append(append.topic(), append.partition(), append.key(), append.value(), false, nowMs));
            }
        }
        log.turn();
    }

    private void submit() {
        int partition = random.nextInt(partitions);
        String id = "%04x%032x".formatted(partition, ++submitted);
        int length = filled ? scale.answerTokens() : 1 + random.nextInt(scale.answerTokens());
        String gateway = "gateway-" + random.nextInt(scale.gateways());
        log.append(
                Topic.REQUESTS,
                partition,
                id,
                scale.submit(id, gateway, length, nowMs, random).toByteArray(),
                false,
                nowMs);
    }

    private void beats() {
        long period = Math.max(1, Math.round(1_000 / scale.beatsPerS() / turnMs));
        for (int i = 0; i < scale.workers(); i++) {
            if (i % period == turns % period) {
                workers.get(i).beat(log, places, nowMs);
            }
        }
        for (int i = 0; i < scale.gateways(); i++) {
            if (i % period == turns % period) {
                String name = "gateway-" + i;
                MemberBeat beat = MemberBeat.newBuilder()
                        .setNode(name)
                        .setRole(MemberBeat.Role.GATEWAY)
                        .setIncarnation(-1 - i)
                        .setTimeMs(nowMs)
                        .build();
                log.append(Topic.MEMBERS, 0, name, beat.toByteArray(), false, nowMs);
            }
        }
    }

    /** Requests that the routers have open, for tests. */
    int openRequests() {
        return routers.stream().mapToInt(ScaleRouter::openRequests).sum();
    }
}
