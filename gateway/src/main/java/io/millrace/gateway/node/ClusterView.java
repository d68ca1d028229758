package io.millrace.gateway.node;

import io.millrace.shared.log.Clock;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.ModelCredit;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * Routers and gateways as their beats in {@code members} show them.
 *
 * <p>A member is gone when this gateway has read beats of its own for the whole timeout after that member's last one: when
 * nobody's beats arrive, the log stalls and nobody is gone. Written by one reader's thread, read by any.
 */
public final class ClusterView implements LogReader.Listener {

    private static final Logger LOG = LoggerFactory.getLogger(ClusterView.class);

    private static final int KNOWN_MAX = 10_000;
    private static final Duration DECIDED_POLL = Duration.ofMillis(10);

    private record Seen(MemberBeat beat, long nanos) {}

    private record Snapshot(
            Map<String, ModelState> models,
            Map<String, String> names,
            Set<String> gateways,
            int routers,
            List<MemberBeat> members) {}

    private final NodeSettings settings;
    private final Clock clock;
    private final Gossip gossip;
    private final Map<String, Seen> members = new HashMap<>();
    private final Map<String, AtomicInteger> spent = new ConcurrentHashMap<>();
    private final Set<String> known = ConcurrentHashMap.newKeySet();
    private volatile Snapshot now = new Snapshot(Map.of(), Map.of(), Set.of(), 0, List.of());
    private volatile long ownNanos;
    private volatile boolean ownSeen;
    private volatile long firstOwnNanos;

    /** @param gossip hears every beat */
    public ClusterView(NodeSettings settings, Clock clock, Gossip gossip) {
        this.settings = settings;
        this.gossip = gossip;
        this.clock = clock;
    }

    @Override
    public boolean isPunctual() {
        return false;
    }

    @Override
    public boolean isSettled() {
        return true;
    }

    @Override
    public void onRecord(LogRecord record) {
        byte[] value = record.value();
        if (value == null) {
            return;
        }
        MemberBeat beat;
        try {
            beat = MemberBeat.parseFrom(value);
        } catch (com.google.protobuf.InvalidProtocolBufferException malformed) {
            LOG.warn("members holds a record that is no beat, at offset {}", record.offset());
            return;
        }
        long nanos = clock.nanos();
        if (beat.getNode().equals(settings.node())) {
            ownNanos = nanos;
            if (!ownSeen) {
                firstOwnNanos = nanos;
                ownSeen = true;
            }
        }
        if (beat.getLeaving()) {
            members.remove(beat.getNode());
        } else {
            members.put(beat.getNode(), new Seen(beat, nanos));
        }
        if (beat.getRole() == MemberBeat.Role.ROUTER) {
            for (ModelCredit credit : beat.getCreditsList()) {
                AtomicInteger count = spent.get(credit.getModel());
                if (count != null) {
                    count.set(0);
                }
            }
        }
        rebuild();
        gossip.heard(beat, now.gateways());
    }

    private void rebuild() {
        long timeout = settings.memberTimeout().toNanos();
        members.values().removeIf(seen -> ownNanos - seen.nanos() > timeout);
        Map<String, ModelState> models = new TreeMap<>();
        Map<String, String> names = new HashMap<>();
        Set<String> gateways = new TreeSet<>();
        int routers = 0;
        for (Seen seen : members.values()) {
            if (seen.beat().getRole() == MemberBeat.Role.ROUTER) {
                routers++;
                for (ModelCredit credit : seen.beat().getCreditsList()) {
                    models.merge(credit.getModel(), ModelState.of(credit), ModelState::plus);
                }
            } else {
                gateways.add(seen.beat().getNode());
            }
        }
        models.values().forEach(model -> model.aliases().forEach(alias -> names.put(alias, model.name())));
        models.keySet().forEach(name -> names.put(name, name));
        if (known.size() < KNOWN_MAX) {
            known.addAll(names.keySet());
        }
        List<MemberBeat> beats = members.values().stream()
                .map(Seen::beat)
                .sorted(Comparator.comparing(MemberBeat::getNode))
                .toList();
        now = new Snapshot(models, names, gateways, routers, beats);
    }

    /** The model of that name or alias; null when no router knows it. */
    public @Nullable ModelState model(String name) {
        Snapshot seen = now;
        String real = seen.names().get(name);
        return real == null ? null : seen.models().get(real);
    }

    /**
     * Whether it can be said who serves that name: somebody does and this gateway's own beat has come back, or every live member
     * has been heard, as each beats within the member timeout.
     */
    public boolean decided(String name) {
        return ownSeen
                && (known(name)
                        || clock.nanos() - firstOwnNanos
                                >= settings.memberTimeout().toNanos());
    }

    /** Completes once {@link #decided} holds, after the member timeout at the latest; at once where it holds already. */
    public Mono<Void> awaitDecided(String name) {
        if (decided(name)) {
            return Mono.empty();
        }
        return Flux.interval(DECIDED_POLL)
                .onBackpressureDrop()
                .takeUntil(turn -> decided(name))
                .take(settings.memberTimeout())
                .then();
    }

    /** Whether a router has named it, now or earlier: then its workers are gone, not its name wrong. */
    public boolean known(String name) {
        return known.contains(name);
    }

    /** All models, by name. */
    public Map<String, ModelState> models() {
        return now.models();
    }

    /** Last beats of the live members, by node. */
    List<MemberBeat> members() {
        return now.members();
    }

    /** Takes so many of the model's credits; false when this gateway's share does not hold them. */
    public boolean take(ModelState model, int count) {
        AtomicInteger used = spent.computeIfAbsent(model.name(), name -> new AtomicInteger());
        int gateways = Math.max(1, now.gateways().size());
        int share = Math.max(Math.min(1, model.credits()), model.credits() / gateways);
        int before = used.get();
        while (before == 0 ? share > 0 : before + count <= share) {
            if (used.compareAndSet(before, before + count)) {
                return true;
            }
            before = used.get();
        }
        return false;
    }

    /** Node ids of the live gateways. */
    public Set<String> gateways() {
        return now.gateways();
    }

    public int routers() {
        return now.routers();
    }

    /** Milliseconds since a beat of this gateway came back through Kafka; -1: none did yet. */
    public long ownBeatAgeMs() {
        return ownSeen ? (clock.nanos() - ownNanos) / 1_000_000 : -1;
    }
}
