package io.millrace.bench.chaos;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** One run: a cluster, load, faults, and the judgement. */
final class ChaosRun {

    /** A fault to be done. */
    record Planned(FaultKind kind, Phase phase, LoadLevel load) {}

    /** So often pairs that met no stream are tried again. */
    private static final int AGAIN_MAX = 3;

    private static final long DRAIN_S_MAX = 300;
    private static final long AGREE_S_MAX = 60;
    private static final long FIRST_S_MAX = 120;
    /** Faults in a row under one load. */
    private static final int LOAD_KEPT = 7;

    private final ChaosSetup setup;
    private final Questions questions;
    private final long seed;
    private final long undisturbedS;
    private final long faultsS;
    private final Consumer<String> progress;

    /**
     * Not begun yet.
     *
     * @param undisturbedS how long the goodput without faults is measured
     * @param faultsS after which no further fault is begun
     */
    ChaosRun(
            ChaosSetup setup,
            Questions questions,
            long seed,
            long undisturbedS,
            long faultsS,
            Consumer<String> progress) {
        this.setup = setup;
        this.questions = questions;
        this.seed = seed;
        this.undisturbedS = undisturbedS;
        this.faultsS = faultsS;
        this.progress = progress;
    }

    /** Every kind in every phase, in an order drawn from the seed; the load changes slowly. */
    static List<Planned> matrix(List<FaultKind> kinds, long seed, int most) {
        List<Planned> pairs = new ArrayList<>();
        for (FaultKind kind : kinds) {
            for (Phase phase : Phase.values()) {
                pairs.add(new Planned(kind, phase, LoadLevel.MEDIUM));
            }
        }
        Collections.shuffle(pairs, new Random(seed));
        int extra = pairs.size();
        while (pairs.size() < most) {
            pairs.add(pairs.get(pairs.size() - extra));
        }
        int count = Math.min(most, pairs.size());
        LoadLevel[] levels = LoadLevel.values();
        List<Planned> all = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            Planned each = pairs.get(i);
            all.add(new Planned(each.kind(), each.phase(), levels[i / LOAD_KEPT % levels.length]));
        }
        return all;
    }

    /**
     * Does it all.
     *
     * @param plan asks which faults, when the cluster has started
     */
    ChaosReport run(Path dir, java.util.function.Function<List<FaultKind>, List<Planned>> plan)
            throws IOException, InterruptedException, TimeoutException {
        long began = System.nanoTime();
        try (ChaosCluster cluster = ChaosCluster.start(setup, dir);
                BrokerView brokers = new BrokerView(cluster.bootstrap());
                JournalWatch watch = new JournalWatch(cluster.bootstrap(), "chaos-watch");
                ChaosClient client = new ChaosClient(cluster)) {
            progress.accept("%d processes are there after %.1f s"
                    .formatted(cluster.nodes().size(), (System.nanoTime() - began) / 1e9));
            if (questions instanceof Questions.Recorded recorded) {
                record(recorded, client);
            }
            try (Load load = new Load(client, questions)) {
                return run(cluster, brokers, watch, load, plan);
            }
        }
    }

    private ChaosReport run(
            ChaosCluster cluster,
            BrokerView brokers,
            JournalWatch watch,
            Load load,
            java.util.function.Function<List<FaultKind>, List<Planned>> plan)
            throws IOException, InterruptedException, TimeoutException {
        load.keepOpen(LoadLevel.MEDIUM.streams(setup.capacity()));
        awaitFirst(load);
        long began = System.nanoTime();
        TimeUnit.SECONDS.sleep(undisturbedS);
        long quietEnd = System.nanoTime();
        var striker = new Striker(cluster, brokers, watch, load, seed);
        List<String> undone = new ArrayList<>();
        List<Planned> planned = new ArrayList<>(plan.apply(Striker.possible(cluster)));
        int rounds = 0;
        for (int i = 0; i < planned.size() && (System.nanoTime() - quietEnd) / 1_000_000_000 < faultsS; i++) {
            strike(striker, load, planned.get(i), "%4d/%d".formatted(i + 1, planned.size()), undone);
            if (i == planned.size() - 1 && rounds++ < AGAIN_MAX) {
                planned.addAll(unmet(planned, met(striker.done(), watch)));
            }
        }
        long faultsEnd = System.nanoTime();
        boolean drained = load.drain(DRAIN_S_MAX);
        List<String> disagreements = secondReader(cluster, watch);
        List<String> leaks = BlockWatch.leaks(cluster.bootstrap(), setup.workers());
        return new ChaosReport(
                setup,
                questions,
                striker.done(),
                load.results(),
                watch,
                new ChaosReport.Span(began, quietEnd, faultsEnd),
                drained,
                undone,
                disagreements,
                leaks);
    }

    private void strike(Striker striker, Load load, Planned planned, String number, List<String> undone)
            throws InterruptedException {
        load.keepOpen(planned.load().streams(setup.capacity()));
        String name = "%s  %-22s %-17s %-10s"
                .formatted(
                        number,
                        planned.kind().words(),
                        planned.phase().words(),
                        planned.load().words());
        try {
            Struck last = striker.strike(planned.kind(), planned.phase(), planned.load());
            progress.accept("%s %-10s %3d open, steady after %5.1f s%s; %d wrong of %d"
                    .formatted(
                            name,
                            last.node(),
                            last.open().size(),
                            last.steadyNanos() / 1e9,
                            last.steady() ? "" : " NOT STEADY",
                            load.wrong(),
                            load.results().size()));
        } catch (IOException | TimeoutException | IllegalStateException failure) {
            undone.add(name.strip() + ": " + failure);
            progress.accept(name + " was not done: " + failure);
        }
    }

    /** Of a plan that has every phase of its kinds: the pairs that are not among the met; of another, none. */
    static List<Planned> unmet(List<Planned> planned, Set<Planned> met) {
        Set<Planned> left = new LinkedHashSet<>();
        planned.forEach(each -> left.add(new Planned(each.kind(), each.phase(), LoadLevel.MEDIUM)));
        long kinds = planned.stream().map(Planned::kind).distinct().count();
        if (left.size() < kinds * Phase.values().length) {
            return List.of();
        }
        left.removeAll(met);
        return List.copyOf(left);
    }

    /** Kinds of faults with the phases of the streams that they met, by the brokers' clocks. */
    private static Set<Planned> met(List<Struck> done, JournalWatch watch) {
        return done.stream()
                .flatMap(fault -> fault.open().stream()
                        .map(state -> new Planned(
                                fault.kind(), watch.phaseAt(state.requestId(), fault.ms()), LoadLevel.MEDIUM)))
                .collect(Collectors.toSet());
    }

    /** Until some stream has text: before, nobody is as fast as later. */
    private static void awaitFirst(Load load) throws InterruptedException, TimeoutException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(FIRST_S_MAX);
        while (load.open().stream().noneMatch(state -> state.progressNanos() != 0)) {
            if (System.nanoTime() - end > 0) {
                throw new TimeoutException("no stream had any text after " + FIRST_S_MAX + " s");
            }
            TimeUnit.MILLISECONDS.sleep(10);
        }
    }

    /** Asks each question once while nothing is wrong, and writes the answers down. */
    private static void record(Questions.Recorded recorded, ChaosClient client) throws InterruptedException {
        for (Ask ask : recorded.all()) {
            StreamResult result = client.follow(ask, new StreamState(ask));
            if (result.error() != null) {
                throw new IllegalStateException("the undisturbed answer of " + ask + " failed: " + result.error());
            }
            recorded.record(ask, result.text());
        }
    }

    /** Reads everything again, from the beginning, and says in what the two readers differ. */
    private static List<String> secondReader(ChaosCluster cluster, JournalWatch first) throws InterruptedException {
        try (JournalWatch second = new JournalWatch(cluster.bootstrap(), "chaos-second")) {
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(AGREE_S_MAX);
            while (!second.conclusions().equals(first.conclusions()) && System.nanoTime() - end < 0) {
                TimeUnit.MILLISECONDS.sleep(100);
            }
            var one = first.conclusions();
            var two = second.conclusions();
            return one.entrySet().stream()
                    .filter(each -> !each.getValue().equals(two.get(each.getKey())))
                    .map(each -> each + " and " + two.get(each.getKey()))
                    .toList();
        }
    }
}
