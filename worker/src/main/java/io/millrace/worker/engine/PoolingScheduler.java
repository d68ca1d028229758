package io.millrace.worker.engine;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Which inputs the next step runs: whole, as many as the budget of token rows holds and at least one. The most important executions take
 * turns, an input each, so that one of a single input does not wait for another's thousand. Confined to the engine's thread.
 */
final class PoolingScheduler {

    /** An input in a step. */
    record Part(PoolingRun run, int input) {

        PoolingRequest.Input value() {
            return run.request().inputs().get(input);
        }
    }

    private final int maxRows;
    private final int maxInputs;
    private final Map<String, PoolingRun> runs = new LinkedHashMap<>();
    private long lastServed = -1;

    PoolingScheduler(int maxRows, int maxInputs) {
        this.maxRows = maxRows;
        this.maxInputs = maxInputs;
    }

    void add(PoolingRun run) {
        runs.put(run.request().key(), run);
    }

    @Nullable
    PoolingRun find(String key) {
        return runs.get(key);
    }

    void remove(PoolingRun run) {
        runs.remove(run.request().key(), run);
    }

    List<PoolingRun> all() {
        return List.copyOf(runs.values());
    }

    boolean hasWork() {
        return !runs.isEmpty();
    }

    int size() {
        return runs.size();
    }

    long waitingTokens() {
        return runs.values().stream().mapToLong(PoolingRun::waitingTokens).sum();
    }

    List<Part> schedule() {
        List<Part> parts = new ArrayList<>();
        List<PoolingRun> order = order();
        while (!order.isEmpty()) {
            int priority = order.getFirst().request().priority();
            List<PoolingRun> equals = order.stream()
                    .filter(r -> r.request().priority() == priority)
                    .toList();
            if (!takeTurns(equals, parts)) {
                return parts;
            }
            order.removeAll(equals);
        }
        return parts;
    }

    /** Takes an input of each in turn; false when the step is full. */
    private boolean takeTurns(List<PoolingRun> equals, List<Part> parts) {
        int rows = parts.stream().mapToInt(p -> p.value().ids().length).sum();
        boolean took = true;
        while (took) {
            took = false;
            for (PoolingRun run : equals) {
                int length = run.nextLength();
                if (length == 0) {
                    continue;
                }
                if (!parts.isEmpty() && (rows + length > maxRows || parts.size() == maxInputs)) {
                    return false;
                }
                parts.add(new Part(run, run.take()));
                rows += length;
                lastServed = run.arrival();
                took = true;
            }
        }
        return true;
    }

    /** By priority, then after the one that was served last. A solo execution that is first is alone, others wait. */
    private List<PoolingRun> order() {
        List<PoolingRun> order = new ArrayList<>(runs.values());
        order.sort(Comparator.comparingInt((PoolingRun r) -> -r.request().priority())
                .thenComparing((PoolingRun r) -> r.arrival() <= lastServed)
                .thenComparingLong(PoolingRun::arrival));
        if (!order.isEmpty() && order.getFirst().request().solo()) {
            return new ArrayList<>(order.subList(0, 1));
        }
        order.removeIf(r -> r.request().solo());
        return order;
    }
}
