package io.millrace.bench.chaos;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What came of a run, counted once it is over. */
final class ChaosReport {

    /** Goodput under faults must be at least this share of that without, at the same load. */
    static final double FLOOR = 0.35;

    /** Begin of the load, of the faults, and their end. */
    record Span(long beganNanos, long faultsNanos, long endNanos) {}

    /** Times of many, in milliseconds. */
    record Times(int count, double p50, double p99, double max) {

        static Times of(List<Long> nanos) {
            long[] sorted = nanos.stream().mapToLong(Long::longValue).sorted().toArray();
            return sorted.length == 0
                    ? new Times(0, 0, 0, 0)
                    : new Times(sorted.length, at(sorted, 0.5), at(sorted, 0.99), at(sorted, 1));
        }

        private static double at(long[] sorted, double share) {
            return sorted[Math.max(0, (int) Math.ceil(share * sorted.length) - 1)] / 1e6;
        }
    }

    /** Of one kind of fault. */
    record Row(
            FaultKind kind,
            int faults,
            int open,
            int through,
            Map<Phase, Integer> phases,
            Times stall,
            Times steady,
            int fences) {}

    private final ChaosSetup setup;
    private final List<Struck> struck;
    private final List<StreamResult> results;
    private final JournalWatch watch;
    private final Span span;
    private final boolean drained;
    private final List<String> undone;
    private final List<String> disagreements;
    private final List<String> leaks;
    private final Judgement judgement;
    private final Map<String, StreamResult> byId = new HashMap<>();

    ChaosReport(
            ChaosSetup setup,
            Questions questions,
            List<Struck> struck,
            List<StreamResult> results,
            JournalWatch watch,
            Span span,
            boolean drained,
            List<String> undone,
            List<String> disagreements,
            List<String> leaks) {
        this.setup = setup;
        this.struck = List.copyOf(struck);
        this.results = List.copyOf(results);
        this.watch = watch;
        this.span = span;
        this.drained = drained;
        this.undone = List.copyOf(undone);
        this.disagreements = List.copyOf(disagreements);
        this.leaks = List.copyOf(leaks);
        this.judgement = Judgement.of(questions, results, watch);
        results.forEach(result -> byId.put(result.id(), result));
    }

    ChaosSetup setup() {
        return setup;
    }

    List<Struck> struck() {
        return struck;
    }

    Judgement judgement() {
        return judgement;
    }

    int streams() {
        return results.size();
    }

    /** Sum over the faults of the streams that were open. */
    int openAtFaults() {
        return struck.stream().mapToInt(each -> each.open().size()).sum();
    }

    /** Different streams that were open at some fault. */
    long differentStreams() {
        return struck.stream().flatMap(each -> each.open().stream()).distinct().count();
    }

    int reconnections() {
        return results.stream().mapToInt(each -> each.connections() - 1).sum();
    }

    JournalWatch watch() {
        return watch;
    }

    double seconds() {
        return (span.endNanos() - span.faultsNanos()) / 1e9;
    }

    /** Events with text a second, each a token or more, from there to there. */
    private double eventsPerS(long from, long to) {
        long events = results.stream()
                .filter(each -> each.error() == null)
                .flatMapToLong(each -> Arrays.stream(each.eventNanos(), 1, each.eventNanos().length - 1))
                .filter(nanos -> nanos - from >= 0 && nanos - to < 0)
                .count();
        return events / Math.max(1e-9, (to - from) / 1e9);
    }

    double undisturbedPerS() {
        return eventsPerS(span.beganNanos(), span.faultsNanos());
    }

    double disturbedPerS() {
        return eventsPerS(span.faultsNanos(), span.endNanos());
    }

    /** What goodput under faults must reach: less where the load was below that without faults. */
    double floorPerS() {
        double medium = LoadLevel.MEDIUM.streams(setup.capacity());
        double share = struck.stream()
                .mapToDouble(each -> Math.min(1, each.load().streams(setup.capacity()) / medium))
                .average()
                .orElse(1);
        return FLOOR * undisturbedPerS() * share;
    }

    List<Row> rows() {
        Map<FaultKind, List<Struck>> kinds = new TreeMap<>();
        struck.forEach(each ->
                kinds.computeIfAbsent(each.kind(), k -> new ArrayList<>()).add(each));
        return kinds.entrySet().stream()
                .map(each -> row(each.getKey(), each.getValue()))
                .toList();
    }

    /** Of the pairs of a kind of fault and a phase: how many met a stream, by the brokers' clocks. */
    int pairsMet() {
        return rows().stream().mapToInt(row -> row.phases().size()).sum();
    }

    /** Of how many, for the kinds that struck. */
    int pairs() {
        return rows().size() * Phase.values().length;
    }

    private Row row(FaultKind kind, List<Struck> faults) {
        Map<Phase, Integer> phases = new EnumMap<>(Phase.class);
        List<Long> stalls = new ArrayList<>();
        for (Struck fault : faults) {
            for (StreamState state : fault.open()) {
                phases.merge(watch.phaseAt(state.requestId(), fault.ms()), 1, Integer::sum);
                long stall = stall(fault, state);
                if (stall >= 0) {
                    stalls.add(stall);
                }
            }
        }
        return new Row(
                kind,
                faults.size(),
                faults.stream().mapToInt(each -> each.open().size()).sum(),
                faults.stream().mapToInt(Struck::through).sum(),
                phases,
                Times.of(stalls),
                Times.of(faults.stream().map(Struck::steadyNanos).toList()),
                faults.stream().mapToInt(this::fences).sum());
    }

    /** Of all: the longest pause of every stream that had begun when a fault came, while that lasted. */
    Times stalls() {
        return Times.of(struck.stream()
                .flatMap(fault -> fault.open().stream().map(state -> stall(fault, state)))
                .filter(each -> each >= 0)
                .toList());
    }

    private long stall(Struck fault, StreamState state) {
        StreamResult result = byId.get(state.id());
        return result == null ? -1 : result.stallNanos(fault.nanos(), fault.nanos() + fault.steadyNanos());
    }

    Times steady() {
        return Times.of(struck.stream().map(Struck::steadyNanos).toList());
    }

    /** Claims after the first between this fault and its steady state. */
    private int fences(Struck fault) {
        long end = fault.ms() + fault.steadyNanos() / 1_000_000;
        return (int) watch.fences().stream()
                .filter(each -> each.ms() >= fault.ms() && each.ms() <= end)
                .count();
    }

    /** Workers that hold KV blocks though nothing runs, as a list of what they hold. */
    List<String> leaks() {
        return leaks;
    }

    /** Fences after faults of brokers alone, which must cause none. */
    int fencesOfBrokers() {
        return struck.stream()
                .filter(each -> each.kind().role() == ChaosNode.Role.BROKER && each.aimed() != Phase.RESUMING)
                .mapToInt(this::fences)
                .sum();
    }

    /** What must not be; empty when all holds. */
    List<String> violations() {
        List<String> all = new ArrayList<>();
        judgement.wrong().forEach(each -> all.add("wrong answer: " + each));
        judgement.failed().forEach(each -> all.add("no answer: " + each));
        disagreements.forEach(each -> all.add("two readers see different verdicts: " + each));
        leaks.forEach(each -> all.add("KV blocks not given back: " + each));
        undone.forEach(each -> all.add("a fault was not done: " + each));
        if (watch.keysOfSeveralIds() > 0) {
            all.add(watch.keysOfSeveralIds() + " idempotency keys have several ids");
        }
        if (!drained) {
            all.add("some streams did not end");
        }
        if (!watch.open().isEmpty()) {
            all.add(watch.open().size() + " accepted requests have not ended");
        }
        if (fencesOfBrokers() > 0) {
            all.add(fencesOfBrokers() + " fences after faults of brokers");
        }
        struck.stream()
                .filter(each -> !each.steady())
                .forEach(each -> all.add(
                        "fault " + each.number() + " (" + each.kind().words() + "): not all was well again in time"));
        if (disturbedPerS() < floorPerS()) {
            all.add("goodput %.1f a second is below the floor of %.1f; it was %.1f undisturbed"
                    .formatted(disturbedPerS(), floorPerS(), undisturbedPerS()));
        }
        return all;
    }
}
