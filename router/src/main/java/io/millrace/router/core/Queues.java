package io.millrace.router.core;

import io.millrace.router.core.queue.FairShare;
import io.millrace.router.core.queue.ModelQueue;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/** One queue for each (model, weights, alone or not): requests in one queue can run on the same workers. */
final class Queues {

    /** What the requests of a queue need; suspects wait apart, since they hold up nobody else. */
    record Key(String model, long weightsHash, boolean solo) {}

    private final Map<Key, ModelQueue<Request>> queues = new HashMap<>();
    private final FairShare shares;
    private final long ageingMs;

    Queues(FairShare shares, long ageingMs) {
        this.shares = shares;
        this.ageingMs = ageingMs;
    }

    static Key key(Request request) {
        var journal = request.journal;
        if (journal == null || !journal.admitted()) {
            throw new IllegalStateException("only admitted requests wait");
        }
        return new Key(
                journal.admit().getModel(),
                journal.admit().getWeightsHash(),
                request.totalBlame().suspect());
    }

    ModelQueue<Request> of(Key key) {
        return queues.computeIfAbsent(key, k -> new ModelQueue<>(shares, ageingMs));
    }

    Map<Key, ModelQueue<Request>> all() {
        return queues;
    }

    void remove(Request request) {
        if (request.queued) {
            request.queued = false;
            for (ModelQueue<Request> queue : queues.values()) {
                if (queue.remove(request)) {
                    return;
                }
            }
        }
    }

    int size(String model) {
        int sum = 0;
        for (var entry : queues.entrySet()) {
            sum += entry.getKey().model().equals(model) ? entry.getValue().size() : 0;
        }
        return sum;
    }

    long tokens(String model) {
        long sum = 0;
        for (var entry : queues.entrySet()) {
            sum += entry.getKey().model().equals(model) ? entry.getValue().tokens() : 0;
        }
        return sum;
    }

    /** How many of that tenant wait for the model. */
    int size(String model, String tenant) {
        int sum = 0;
        for (var entry : queues.entrySet()) {
            sum += entry.getKey().model().equals(model)
                    ? entry.getValue().sizes().getOrDefault(tenant, 0)
                    : 0;
        }
        return sum;
    }

    /** How many of batches wait for the model. */
    int ofBatches(String model) {
        int sum = 0;
        for (var entry : queues.entrySet()) {
            sum += entry.getKey().model().equals(model) ? entry.getValue().ofBatches() : 0;
        }
        return sum;
    }

    /** Tenants of which at least so many wait for the model. */
    Set<String> full(String model, int most) {
        Set<String> full = new TreeSet<>();
        for (var entry : queues.entrySet()) {
            if (entry.getKey().model().equals(model) && entry.getValue().size() > 0) {
                for (String tenant : entry.getValue().sizes().keySet()) {
                    if (size(model, tenant) >= most) {
                        full.add(tenant);
                    }
                }
            }
        }
        return full;
    }

    /** Drops queues that are empty. */
    void sweep() {
        queues.values().removeIf(queue -> queue.size() == 0);
    }
}
