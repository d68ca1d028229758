package io.millrace.router.core.queue;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Requests that wait for one model: the highest band first, in it the tenant with the least service, of that the earliest
 * deadline. Waiting lifts a request by a band every {@code ageingMs}, up to the highest ordinary one; those of batches stay below all others.
 * Not thread-safe.
 *
 * @param <T> what waits; compared by identity of its own equals
 */
public final class ModelQueue<T> {

    /** Lines of batches, which fill idle time only. */
    public static final int BAND_BATCH = 0;

    /** Highest of the ordinary bands; priorities 0..3. */
    public static final int BAND_HIGH = 3;

    /** Above all: requests that ran already. */
    public static final int BAND_RESUME = 4;

    /**
     * One that waits.
     *
     * @param band at first
     * @param sinceMs when it began to wait
     * @param tokens estimate of prompt and output
     */
    public record Waiting<T>(
            T item, String tenant, int band, long deadlineMs, long sinceMs, long tokens, long sequence) {}

    private static final Comparator<Waiting<?>> ORDER =
            Comparator.<Waiting<?>>comparingLong(Waiting::deadlineMs).thenComparingLong(Waiting::sequence);

    private final class Band {
        final Map<String, TreeSet<Waiting<T>>> tenants = new HashMap<>();
    }

    private final List<Band> bands = new ArrayList<>();
    private final Map<T, Integer> bandOf = new HashMap<>();
    private final Map<T, Waiting<T>> index = new HashMap<>();
    private final Map<String, Integer> sizes = new HashMap<>();
    private final FairShare shares;
    private final long ageingMs;
    private int ofBatches;
    private long sequence;
    private long tokens;
    private long agedMs;

    public ModelQueue(FairShare shares, long ageingMs) {
        this.shares = shares;
        this.ageingMs = ageingMs;
        for (int i = 0; i <= BAND_RESUME; i++) {
            bands.add(new Band());
        }
    }

    /** Adds an item that does not wait yet; else does nothing. */
    public void add(T item, String tenant, int band, long deadlineMs, long estimatedTokens, long nowMs) {
        if (index.containsKey(item)) {
            return;
        }
        Set<String> others = sizes.keySet();
        if (!others.contains(tenant)) {
            shares.lift(tenant, others);
        }
        int first = Math.clamp(band, BAND_BATCH, BAND_RESUME);
        Waiting<T> waiting = new Waiting<>(item, tenant, first, deadlineMs, nowMs, estimatedTokens, sequence++);
        index.put(item, waiting);
        tokens += estimatedTokens;
        sizes.merge(tenant, 1, Integer::sum);
        ofBatches += first == BAND_BATCH ? 1 : 0;
        put(waiting, first);
    }

    /** Who comes next; stays in the queue. */
    public @Nullable Waiting<T> peek(long nowMs) {
        age(nowMs);
        for (int b = BAND_RESUME; b >= 0; b--) {
            Waiting<T> best = null;
            double bestServed = 0;
            for (Map.Entry<String, TreeSet<Waiting<T>>> each :
                    bands.get(b).tenants.entrySet()) {
                Waiting<T> first = each.getValue().first();
                double served = b == BAND_RESUME ? 0 : shares.served(each.getKey());
                if (best == null || served < bestServed || (served == bestServed && ORDER.compare(first, best) < 0)) {
                    best = first;
                    bestServed = served;
                }
            }
            if (best != null) {
                return best;
            }
        }
        return null;
    }

    /** Takes the item out; false when it did not wait. */
    public boolean remove(T item) {
        Waiting<T> waiting = index.remove(item);
        if (waiting == null) {
            return false;
        }
        tokens -= waiting.tokens();
        sizes.computeIfPresent(waiting.tenant(), (tenant, size) -> size == 1 ? null : size - 1);
        ofBatches -= waiting.band() == BAND_BATCH ? 1 : 0;
        take(waiting);
        return true;
    }

    public int size() {
        return index.size();
    }

    /** How many of each tenant wait. */
    public Map<String, Integer> sizes() {
        return sizes;
    }

    /** How many of batches wait. */
    public int ofBatches() {
        return ofBatches;
    }

    /** Estimated tokens of all that wait. */
    public long tokens() {
        return tokens;
    }

    private void age(long nowMs) {
        if (nowMs - agedMs < Math.max(1, ageingMs / 64)) {
            return;
        }
        agedMs = nowMs;
        for (Waiting<T> waiting : List.copyOf(index.values())) {
            Integer band = bandOf.get(waiting.item());
            if (band == null || band >= BAND_HIGH || band == BAND_BATCH) {
                continue;
            }
            long waited = nowMs - waiting.sinceMs();
            int lifted = (int) Math.min(BAND_HIGH, waiting.band() + waited / Math.max(1, ageingMs));
            if (lifted > band) {
                take(waiting);
                put(waiting, lifted);
            }
        }
    }

    private void put(Waiting<T> waiting, int band) {
        bandOf.put(waiting.item(), band);
        bands.get(band)
                .tenants
                .computeIfAbsent(waiting.tenant(), tenant -> new TreeSet<>(ORDER))
                .add(waiting);
    }

    private void take(Waiting<T> waiting) {
        Integer band = bandOf.remove(waiting.item());
        if (band == null) {
            return;
        }
        Map<String, TreeSet<Waiting<T>>> tenants = bands.get(band).tenants;
        TreeSet<Waiting<T>> set = tenants.get(waiting.tenant());
        if (set != null) {
            set.remove(waiting);
            if (set.isEmpty()) {
                tenants.remove(waiting.tenant());
            }
        }
    }
}
