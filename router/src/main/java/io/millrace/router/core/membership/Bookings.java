package io.millrace.router.core.membership;

import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** What this router has sent to one process and not seen end, counted by model. Not thread-safe. */
final class Bookings {

    private final Set<Worker.Load> all = new LinkedHashSet<>();
    /** Those that the worker's beats may not count yet; some of them they may count already. */
    private final Set<Worker.Load> young = new LinkedHashSet<>();

    private final Map<String, Integer> counts = new HashMap<>();
    private int solo;

    /** False when it is booked already. */
    boolean add(Worker.Load load) {
        if (!all.add(load)) {
            return false;
        }
        young.add(load);
        counts.merge(load.model(), 1, Integer::sum);
        solo += load.solo() ? 1 : 0;
        return true;
    }

    /** False when it was not booked. */
    boolean remove(Worker.Load load) {
        if (!all.remove(load)) {
            return false;
        }
        young.remove(load);
        counts.computeIfPresent(load.model(), (model, count) -> count == 1 ? null : count - 1);
        solo -= load.solo() ? 1 : 0;
        return true;
    }

    /** Everything booked, at the moment. */
    List<Worker.Load> all() {
        return List.copyOf(all);
    }

    /** The worker has read its slot up to that position, and its beats count what lies before. */
    void read(long position) {
        young.removeIf(load -> !inFlight(load, position));
    }

    private static boolean inFlight(Worker.Load load, long position) {
        return load.slotOffset() < 0 || load.slotOffset() >= position;
    }

    int count(String model) {
        return counts.getOrDefault(model, 0);
    }

    /** How many the worker has not read by that position. */
    int inFlight(String model, long position) {
        int count = 0;
        for (Worker.Load load : young) {
            count += load.model().equals(model) && inFlight(load, position) ? 1 : 0;
        }
        return count;
    }

    /** Prompt tokens not cached of those that the worker has not read by that position. */
    long promptTokensInFlight(String model, long position) {
        long tokens = 0;
        for (Worker.Load load : young) {
            if (load.model().equals(model) && inFlight(load, position)) {
                tokens += load.promptTokens() - load.cachedTokens();
            }
        }
        return tokens;
    }

    boolean hasSolo() {
        return solo > 0;
    }
}
