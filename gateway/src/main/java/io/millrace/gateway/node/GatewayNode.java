package io.millrace.gateway.node;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * This gateway among the others: beats in {@code members}, follows those of the others, and keeps the partitions that fall to
 * it read, so that all gateways together read the journals about once. Thread-safe.
 */
public final class GatewayNode implements AutoCloseable {

    private static final Logger LOG = LoggerFactory.getLogger(GatewayNode.class);

    private final Log log;
    private final JournalHub hub;
    private final ClusterView view;
    private final NodeSettings settings;
    private final Clock clock;
    private final Gossip gossip;
    private final AtomicInteger turn = new AtomicInteger();
    private final LogReader reader;
    private final ScheduledExecutorService beats;
    private volatile List<Integer> own = List.of();
    private volatile int partitions;
    private @Nullable CompletableFuture<Long> lastBeat;
    private Set<String> lastGateways = Set.of();
    private int membersPartitions;

    /** @param gossip what this gateway's beats tell the others */
    public GatewayNode(Log log, JournalHub hub, ClusterView view, Gossip gossip, NodeSettings settings, Clock clock) {
        this.gossip = gossip;
        this.log = log;
        this.hub = hub;
        this.view = view;
        this.settings = settings;
        this.clock = clock;
        this.reader = log.reader("members", view);
        this.beats = Executors.newSingleThreadScheduledExecutor(
                Thread.ofPlatform().name(settings.node() + "-beat").daemon().factory());
        long period = settings.beat().toMillis();
        beats.scheduleWithFixedDelay(this::guardedBeat, 0, period, TimeUnit.MILLISECONDS);
    }

    /**
     * The partition for the next call: one of this gateway's own, in turn; -1 while Kafka has not told how many there are, or
     * has not given a beat of this gateway back: routers take a request of a gateway that they never heard for one without a client.
     */
    public int nextPartition() {
        if (view.ownBeatAgeMs() < 0) {
            return -1;
        }
        List<Integer> mine = own;
        return mine.isEmpty() ? -1 : mine.get(Math.floorMod(turn.getAndIncrement(), mine.size()));
    }

    /** Partitions of requests and journals; 0 while Kafka has not told. */
    public int partitions() {
        return partitions;
    }

    public ClusterView view() {
        return view;
    }

    private void guardedBeat() {
        try {
            if (membersPartitions == 0) {
                join();
            }
            beat(false);
            share();
        } catch (MillraceException e) {
            LOG.warn("{}", e.toString());
        } catch (RuntimeException e) {
            LOG.error("the gateway's beat failed; going on", e);
        }
    }

    /** Waits for Kafka, on the beats' own thread. */
    private void join() {
        int partitions = log.partitions(Topic.MEMBERS);
        for (int i = 0; i < partitions; i++) {
            reader.assign(Topic.MEMBERS, i, LogReader.END);
        }
        membersPartitions = partitions;
    }

    private void beat(boolean leaving) {
        CompletableFuture<Long> before = lastBeat;
        if (before != null && !before.isDone()) {
            return;
        }
        Gossip.Told told = gossip.tell();
        MemberBeat beat = MemberBeat.newBuilder()
                .setNode(settings.node())
                .setIncarnation(gossip.incarnation())
                .setRole(MemberBeat.Role.GATEWAY)
                .setTimeMs(clock.wallMs())
                .setLeaving(leaving)
                .addAllAccounts(told.accounts())
                .setAccountsBegun(told.begun())
                .build();
        int partition = Math.floorMod(settings.node().hashCode(), membersPartitions);
        lastBeat = log.append(Topic.MEMBERS, partition, settings.node(), beat.toByteArray());
    }

    /** Takes the partitions that rendezvous hashing (Thaler, Ravishankar 1998) gives this gateway among the live ones. */
    private void share() {
        Set<String> gateways = new TreeSet<>(view.gateways());
        gateways.add(settings.node());
        if (gateways.equals(lastGateways)) {
            return;
        }
        lastGateways = gateways;
        int count = log.partitions(Topic.REQUESTS);
        List<Integer> mine = new ArrayList<>();
        for (int partition = 0; partition < count; partition++) {
            if (settings.node().equals(owner(partition, gateways))) {
                mine.add(partition);
            }
        }
        if (mine.isEmpty()) {
            mine.add(Math.floorMod(settings.node().hashCode(), count));
        }
        hub.keep(Set.copyOf(mine));
        partitions = count;
        own = List.copyOf(mine);
    }

    /** Whether what has that name falls to this gateway among the live ones. */
    public boolean owns(String name) {
        Set<String> gateways = new TreeSet<>(view.gateways());
        gateways.add(settings.node());
        return settings.node().equals(owner(name.hashCode(), gateways));
    }

    static String owner(int partition, Set<String> nodes) {
        String best = "";
        long most = Long.MIN_VALUE;
        for (String node : nodes) {
            long hash = partition;
            for (int i = 0; i < node.length(); i++) {
                hash = mix(hash ^ node.charAt(i));
            }
            if (hash > most || best.isEmpty()) {
                most = hash;
                best = node;
            }
        }
        return best;
    }

    private static long mix(long value) {
        long z = value + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    /** Says good-bye, so that the others need not wait for a timeout. */
    @Override
    public void close() {
        beats.shutdownNow();
        try {
            beats.awaitTermination(1, TimeUnit.SECONDS);
            if (membersPartitions > 0) {
                lastBeat = null;
                beat(true);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
        reader.close();
    }
}
