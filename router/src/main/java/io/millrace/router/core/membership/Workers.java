package io.millrace.router.core.membership;

import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** The workers by their beats in {@code workers}, and which models they serve. Not thread-safe. */
public final class Workers {

    /** A beat appended this long after a broken connection proves that the process lives. */
    private static final long LIVENESS_GRACE_MS = 400;

    private final LogProgress progress;
    private final Watcher watcher;
    private final Map<String, Worker> workers = new TreeMap<>();
    private final Map<String, Long> servedMs = new HashMap<>();

    /** @param watcher hears of what changes at any of them */
    public Workers(LogProgress progress, Watcher watcher) {
        this.progress = progress;
        this.watcher = watcher;
    }

    /**
     * Applies a beat of a worker.
     *
     * @return the worker when this is the first beat of a process; else null
     */
    public @Nullable Worker apply(WorkerBeat beat, long timestampMs) {
        for (ServedModel model : beat.getModelsList()) {
            servedMs.put(model.getName(), timestampMs);
            model.getAliasesList().forEach(alias -> servedMs.put(alias, timestampMs));
        }
        Worker worker = workers.get(beat.getWorker());
        if (worker == null) {
            worker = new Worker(beat, timestampMs, watcher);
            workers.put(beat.getWorker(), worker);
            worker.judge(progress, LIVENESS_GRACE_MS);
            return worker;
        }
        long before = worker.incarnation();
        worker.apply(beat, timestampMs);
        return worker.incarnation() == before ? null : worker;
    }

    /** An own marker was read back. */
    public void own(long timestampMs) {
        progress.own(timestampMs);
    }

    /** The connection to that process broke: by the log's time, since that is what its beats carry. */
    public void livenessLost(String id, long incarnation) {
        Worker worker = workers.get(id);
        if (worker != null && worker.incarnation() == incarnation) {
            worker.lost(Math.max(progress.ownMs(), worker.lastMs()));
        }
    }

    /** Judges all anew; those whose verdict changed. */
    public List<Worker> judge() {
        List<Worker> changed = new ArrayList<>();
        for (Worker worker : workers.values()) {
            if (worker.judge(progress, LIVENESS_GRACE_MS)) {
                changed.add(worker);
            }
        }
        return changed;
    }

    /** Whether the process may be taken for alive. */
    public boolean live(Worker worker) {
        return !worker.suspected();
    }

    public @Nullable Worker find(String id) {
        return workers.get(id);
    }

    public Collection<Worker> all() {
        return Collections.unmodifiableCollection(workers.values());
    }

    /** Names of all models of live workers. */
    public Collection<String> models() {
        Map<String, Boolean> names = new TreeMap<>();
        for (Worker worker : workers.values()) {
            if (!worker.suspected()) {
                worker.beat().getModelsList().forEach(model -> names.put(model.getName(), true));
            }
        }
        return names.keySet();
    }

    /** Whether a worker has served the model within the topic's memory. */
    public boolean known(String model) {
        return servedMs.containsKey(model);
    }

    /** Forgets processes silent for that long. */
    public List<Worker> forgetSilentFor(long ms) {
        List<Worker> gone = new ArrayList<>();
        for (Worker worker : List.copyOf(workers.values())) {
            if (worker.suspected() && progress.ownMs() - worker.lastMs() > ms) {
                workers.remove(worker.id());
                watcher.forgotten(worker);
                gone.add(worker);
            }
        }
        return gone;
    }

    public LogProgress progress() {
        return progress;
    }
}
