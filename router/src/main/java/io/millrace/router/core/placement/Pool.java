package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Rendezvous;
import io.millrace.router.core.membership.Worker;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.Consumer;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** The workers that may run one model with the same weights, kept in the orders in which placement looks for them. Not thread-safe. */
final class Pool {

    /** A pool of at most so many is looked at whole. */
    static final int WHOLE_MAX = 32;

    private static final int CHEAPEST = 8;
    private static final int EMPTIEST = 8;
    private static final int FAVOURITES = 2;
    private static final int STRANGERS = 4;

    /** Most that {@link #likely} passes on. */
    static final int LIKELY_MAX = FAVOURITES + 1 + CHEAPEST + EMPTIEST + STRANGERS;

    /** Points of each worker on the ring by which prefixes choose their favourites. */
    private static final int POINTS = 16;

    private static final Comparator<Candidate> BY_COST =
            Comparator.<Candidate>comparingDouble(each -> each.cost).thenComparing(each -> each.worker.id());
    private static final Comparator<Candidate> BY_USE =
            Comparator.comparingDouble(Candidate::utilization).thenComparing(each -> each.worker.id());

    private final Map<Worker, Candidate> byWorker = new HashMap<>();
    private final List<Candidate> members = new ArrayList<>();
    private final TreeSet<Candidate> cheapest = new TreeSet<>(BY_COST);
    private final TreeSet<Candidate> emptiest = new TreeSet<>(BY_USE);
    private final TreeMap<Long, Candidate> ring = new TreeMap<>();
    private final Map<String, Integer> numerics = new HashMap<>();
    private long load;
    private long capacity;
    private int withRoom;
    private int withIdleRoom;

    int size() {
        return members.size();
    }

    List<Candidate> members() {
        return members;
    }

    @Nullable
    Candidate of(Worker worker) {
        return byWorker.get(worker);
    }

    /** Adds one that has been measured. */
    void add(Candidate each) {
        byWorker.put(each.worker, each);
        each.at = members.size();
        members.add(each);
        for (int point = 0; point < POINTS; point++) {
            ring.put(Rendezvous.weight(each.worker.id(), point), each);
        }
        enter(each);
    }

    void remove(Candidate each) {
        leave(each);
        byWorker.remove(each.worker);
        for (int point = 0; point < POINTS; point++) {
            ring.remove(Rendezvous.weight(each.worker.id(), point), each);
        }
        Candidate last = members.removeLast();
        if (last != each) {
            members.set(each.at, last);
            last.at = each.at;
        }
    }

    /** Lets a member be measured anew. */
    void change(Candidate each, Consumer<Candidate> measure) {
        leave(each);
        measure.accept(each);
        enter(each);
    }

    private void enter(Candidate each) {
        cheapest.add(each);
        emptiest.add(each);
        count(each, 1);
    }

    private void leave(Candidate each) {
        cheapest.remove(each);
        emptiest.remove(each);
        count(each, -1);
    }

    private void count(Candidate each, int sign) {
        load += (long) sign * each.load;
        capacity += (long) sign * each.capacity;
        withRoom += each.hasRoom(false) ? sign : 0;
        withIdleRoom += each.hasRoom(true) ? sign : 0;
        numerics.merge(each.model.getNumericsId(), sign, (a, b) -> a + b == 0 ? null : a + b);
    }

    /** When the youngest process of it was first heard of. */
    long firstMs() {
        return members.stream().mapToLong(each -> each.worker.firstMs()).max().orElse(Long.MIN_VALUE);
    }

    boolean hasRoom(boolean idle) {
        return (idle ? withIdleRoom : withRoom) > 0;
    }

    /** Whether a member has other numerics than those, and another has them. */
    boolean mixes(String numericsId) {
        return numerics.size() > 1 && numerics.containsKey(numericsId);
    }

    /** Most load of that member: so many times its share of all, by capacity. */
    double most(Candidate each, double loadFactor) {
        return Math.ceil(loadFactor * (load + 1) * each.capacity / Math.max(1, capacity) - 1e-9);
    }

    /** Passes on those that are likely to be cheapest for any request, and the favourites of that key. */
    void likely(long key, RandomGenerator random, Consumer<Candidate> to) {
        first(ring.tailMap(key, true).values(), FAVOURITES, to);
        if (!ring.isEmpty()) {
            to.accept(ring.firstEntry().getValue());
        }
        first(cheapest, CHEAPEST, to);
        first(emptiest, EMPTIEST, to);
        for (int i = 0; i < STRANGERS; i++) {
            to.accept(members.get(random.nextInt(members.size())));
        }
    }

    private static void first(Collection<Candidate> from, int count, Consumer<Candidate> to) {
        int left = count;
        for (Candidate each : from) {
            if (left-- == 0) {
                return;
            }
            to.accept(each);
        }
    }
}
