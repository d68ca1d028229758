package io.millrace.router.core.placement;

import io.millrace.router.core.membership.LogProgress;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.membership.Workers;
import io.millrace.shared.proto.PrefixHint;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.PriorityQueue;
import java.util.Set;
import java.util.SplittableRandom;

/**
 * Workers in virtual time under the real placement: each computes prompts one after the other, decodes beside, and has a prefix cache
 * of a few prompts. Requests are one of some shared prefixes and an end of their own, and come as a Poisson process.
 */
final class FleetSimulation {

    static final String MODEL = "m";
    private static final int CHUNKS = 20;
    private static final int CHUNK_TOKENS = 64;
    private static final int OWN_TOKENS = 48;
    private static final int OUTPUT = 50;
    private static final double PREFILL_TOKENS_PER_MS = 4;
    private static final double STEP_MS = 20;
    private static final long BEAT_MS = 200;

    private record Request(Node node, long endMs, long promptTokens, long cachedTokens, List<Long> prefixHashes)
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

    /** One worker. */
    static final class Node {
        final String id;
        /** When all prompts it has will be computed. */
        double freeMs;

        int running;
        int served;
        boolean draining;
        /** Chunk to tokens, least lately used first. */
        final LinkedHashMap<Long, Integer> cache = new LinkedHashMap<>(64, 0.75f, true);

        private final int cacheChunks;

        Node(String id, int cacheChunks) {
            this.id = id;
            this.cacheChunks = cacheChunks;
        }

        int cached(List<Long> hashes) {
            int tokens = 0;
            for (Long hash : hashes) {
                Integer known = cache.get(hash);
                if (known == null) {
                    break;
                }
                tokens = known;
            }
            return tokens;
        }

        void computed(List<Long> hashes) {
            for (int i = hashes.size() - 1; i >= 0; i--) {
                cache.put(hashes.get(i), CHUNK_TOKENS * (i + 1));
            }
            while (cache.size() > cacheChunks) {
                cache.pollFirstEntry();
            }
        }
    }

    final Fleet fleet = new Fleet(2);
    final LogProgress progress = new LogProgress(BEAT_MS, 1_000);
    final Workers workers = new Workers(progress, fleet);
    final Placement placement;
    final List<Node> nodes = new ArrayList<>();
    private final Set<Node> silent = new HashSet<>();
    private final PriorityQueue<Request> running = new PriorityQueue<>((a, b) -> Long.compare(a.endMs, b.endMs));
    private final SplittableRandom random;
    private final int places;
    final List<Double> firstTokenMs = new ArrayList<>();
    private double nowMs = 10_000;
    private long beatMs;
    long hits;
    long prompts;
    long mostLooks;

    FleetSimulation(Policy policy, int count, int cacheChunks, int places, long seed) {
        this.random = new SplittableRandom(seed);
        this.places = places;
        placement = new Placement(
                fleet,
                random.split(),
                new Placement.Rules(
                        policy,
                        Placement.Rules.DEFAULT.loadFactor(),
                        Placement.Rules.DEFAULT.exploration(),
                        Placement.Rules.DEFAULT.nearTie()));
        for (int i = 0; i < count; i++) {
            nodes.add(new Node("worker-" + i, cacheChunks));
        }
        beats();
    }

    /** From now on nothing is heard of it. */
    void silence(Node node) {
        silent.add(node);
    }

    private void beats() {
        beatMs = (long) nowMs;
        progress.own(beatMs);
        for (Node node : nodes) {
            if (!silent.contains(node)) {
                workers.apply(beat(node), beatMs);
            }
        }
        workers.judge();
        fleet.refresh();
    }

    private WorkerBeat beat(Node node) {
        ServedModel.Builder model = ServedModel.newBuilder()
                .setName(MODEL)
                .setMaxRunning(places)
                .setRunning(node.running)
                .setQueuedPrefillTokens((long) (Math.max(0, node.freeMs - nowMs) * PREFILL_TOKENS_PER_MS))
                .setPrefillTokensPerS(PREFILL_TOKENS_PER_MS * 1_000)
                .setDecodeStepS(STEP_MS / 1e3);
        node.cache.forEach((hash, tokens) ->
                model.addPrefixHints(PrefixHint.newBuilder().setHash(hash).setTokens(tokens)));
        return WorkerBeat.newBuilder()
                .setWorker(node.id)
                .setIncarnation(1)
                .setAssignmentsPosition(1)
                .setDraining(node.draining)
                .addModels(model)
                .build();
    }

    /** So many requests of that many shared prefixes, at a rate; each is placed, computed and ends. */
    void run(int count, int prefixes, double requestsPerS) {
        for (int i = 0; i < count; i++) {
            advance(-Math.log(1 - random.nextDouble()) * 1e3 / requestsPerS);
            request(random.nextInt(prefixes));
        }
    }

    private void advance(double ms) {
        double until = nowMs + ms;
        while (beatMs + BEAT_MS <= until) {
            nowMs = beatMs + BEAT_MS;
            end();
            beats();
        }
        nowMs = until;
        end();
    }

    private void end() {
        while (!running.isEmpty() && running.element().endMs <= nowMs) {
            Request over = running.remove();
            over.node.running--;
            worker(over.node).over(over);
        }
    }

    private Worker worker(Node node) {
        return Objects.requireNonNull(workers.find(node.id));
    }

    private void request(int prefix) {
        List<Long> hashes = new ArrayList<>();
        SplittableRandom chain = new SplittableRandom(prefix);
        for (int i = 0; i < CHUNKS; i++) {
            hashes.add(chain.nextLong());
        }
        int tokens = CHUNKS * CHUNK_TOKENS + OWN_TOKENS;
        long before = placement.looks();
        Placement.Choice choice =
                placement.choose(MODEL, 0, new Demand(tokens, OUTPUT, List.copyOf(hashes), "", false, false));
        mostLooks = Math.max(mostLooks, placement.looks() - before);
        if (choice == null) {
            throw new IllegalStateException("no worker has room: the load is not one that they can bear");
        }
        Node node = nodes.stream()
                .filter(each -> each.id.equals(choice.worker().id()))
                .findFirst()
                .orElseThrow();
        int cached = node.cached(hashes);
        node.freeMs = Math.max(node.freeMs, nowMs) + (tokens - cached) / PREFILL_TOKENS_PER_MS;
        node.computed(hashes);
        node.running++;
        node.served++;
        hits += cached;
        prompts += tokens;
        firstTokenMs.add(node.freeMs - nowMs);
        Request sent = new Request(
                node, (long) (node.freeMs + OUTPUT * STEP_MS), tokens, choice.cachedTokens(), List.copyOf(hashes));
        choice.worker().sent(sent);
        running.add(sent);
    }

    double hitRate() {
        return (double) hits / prompts;
    }

    double firstTokenMs(double percentile) {
        double[] sorted =
                firstTokenMs.stream().mapToDouble(Double::doubleValue).sorted().toArray();
        return sorted[(int) Math.min(sorted.length - 1L, Math.round(percentile / 100 * sorted.length))];
    }

    /** How many requests each worker got. */
    Map<String, Integer> served() {
        Map<String, Integer> all = new LinkedHashMap<>();
        nodes.forEach(node -> all.put(node.id, node.served));
        return all;
    }

    @Override
    public String toString() {
        return "hit rate %.3f, first token p50 %.0f ms, p99 %.0f ms, served %s"
                .formatted(
                        hitRate(),
                        firstTokenMs(50),
                        firstTokenMs(99),
                        nodes.size() > 8
                                ? "..."
                                : Arrays.toString(
                                        nodes.stream().mapToInt(n -> n.served).toArray()));
    }
}
