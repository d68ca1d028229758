package io.millrace.bench.chaos;

import java.util.ArrayList;
import java.util.List;

/**
 * What is started.
 *
 * @param model as a worker's {@code --model} says it, with a name: {@code mock:alpha}, {@code alpha=default}
 * @param name under which it is served
 * @param mockStepMs what a step of the mock engine takes
 * @param maxRunning sequences that a worker runs at a time
 * @param stepTokens token rows of a step
 */
record ChaosSetup(
        int brokers,
        int routers,
        int gateways,
        int workers,
        String model,
        String name,
        int mockStepMs,
        int maxRunning,
        int stepTokens) {

    static final int PARTITIONS = 4;
    private static final int SLOTS = 16;

    boolean mock() {
        return model.startsWith("mock");
    }

    /** Sequences that run at a time when all workers are there. */
    int capacity() {
        return workers * maxRunning;
    }

    /** Of every part. */
    List<String> common(String bootstrap) {
        return new ArrayList<>(List.of(
                "--kafka",
                bootstrap,
                "--set",
                "millrace.kafka.partitions=" + PARTITIONS,
                "--set",
                "millrace.kafka.slots=" + SLOTS));
    }

    List<String> worker(String id) {
        return List.of(
                "--model",
                model,
                "--set",
                "millrace.worker.id=" + id,
                "--set",
                "millrace.worker.liveness-host=127.0.0.1",
                "--set",
                "millrace.worker.mock-step=" + mockStepMs + "ms",
                "--set",
                "millrace.worker.max-running=" + maxRunning,
                "--set",
                "millrace.worker.step-tokens=" + stepTokens,
                "--set",
                "millrace.worker.drain-grace=1s",
                "--set",
                "millrace.worker.threads=1");
    }
}
