package io.millrace.bench.chaos;

import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;

/** Which workers hold KV blocks though they have no request: by their beats, which count what is only cached as free. Thread-safe. */
final class HeldBlocks {

    private record Heard(long ms, WorkerBeat beat) {}

    private final TreeMap<String, Heard> last = new TreeMap<>();

    /** A worker's beat, appended then. */
    synchronized void heard(WorkerBeat beat, long ms) {
        if (!beat.getWorker().isEmpty()) {
            last.put(beat.getWorker(), new Heard(ms, beat));
        }
    }

    /** Workers with a beat since then that do not leave. */
    synchronized int workersSince(long ms) {
        return (int) last.values().stream()
                .filter(each -> each.ms > ms && !each.beat.getLeaving())
                .count();
    }

    /** What workers heard since then still hold, or run; empty when nobody does. */
    synchronized List<String> heldSince(long ms) {
        List<String> held = new ArrayList<>();
        for (Heard each : last.values()) {
            if (each.ms <= ms) {
                continue;
            }
            if (each.beat.getAttemptsCount() > 0) {
                held.add(each.beat.getWorker() + " has " + each.beat.getAttemptsCount() + " attempts");
            }
            for (ServedModel model : each.beat.getModelsList()) {
                int blocks = model.getKvBlocksTotal() - model.getKvBlocksFree();
                if (blocks != 0 || model.getRunning() != 0 || model.getWaiting() != 0) {
                    held.add("%s, %s: %d of %d KV blocks held, %d running, %d waiting"
                            .formatted(
                                    each.beat.getWorker(),
                                    model.getName(),
                                    blocks,
                                    model.getKvBlocksTotal(),
                                    model.getRunning(),
                                    model.getWaiting()));
                }
            }
        }
        return held;
    }
}
