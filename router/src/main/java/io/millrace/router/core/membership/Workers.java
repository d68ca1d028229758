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

    /**
     * A model that can be had.
     *
     * @param weightsHash weights of most of its live workers
     */
    public record Offer(ServedModel model, long weightsHash, int workers) {}

    private final LogProgress progress;
    private final Map<String, Worker> workers = new TreeMap<>();
    private final Map<String, Long> servedMs = new HashMap<>();

    public Workers(LogProgress progress) {
        this.progress = progress;
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
            worker = new Worker(beat, timestampMs);
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

    /**
     * Live workers that take requests for that model, with those weights; where there are none, those that drain but finish what
     * was admitted for their weights.
     */
    public List<Worker> candidates(String model, long weightsHash) {
        List<Worker> found = new ArrayList<>();
        List<Worker> finishing = new ArrayList<>();
        for (Worker worker : workers.values()) {
            ServedModel served = worker.suspected() ? null : worker.model(model);
            if (served != null && served.getWeightsHash() == weightsHash) {
                if (!worker.draining()) {
                    found.add(worker);
                } else if (worker.finishing()) {
                    finishing.add(worker);
                }
            }
        }
        return found.isEmpty() ? finishing : found;
    }

    /** The model as live workers offer it; null when none does. Of weights that equally many have, those that came last. */
    public @Nullable Offer offer(String model) {
        Map<Long, Integer> votes = new TreeMap<>();
        Map<Long, ServedModel> models = new HashMap<>();
        Map<Long, Long> since = new HashMap<>();
        int all = 0;
        for (Worker worker : workers.values()) {
            ServedModel served = worker.suspected() || worker.draining() ? null : worker.model(model);
            if (served != null) {
                all++;
                votes.merge(served.getWeightsHash(), 1, Integer::sum);
                models.put(served.getWeightsHash(), served);
                since.merge(served.getWeightsHash(), worker.firstMs(), Math::max);
            }
        }
        long best = 0;
        int most = 0;
        for (Map.Entry<Long, Integer> vote : votes.entrySet()) {
            boolean later = since.getOrDefault(vote.getKey(), 0L) > since.getOrDefault(best, 0L);
            if (vote.getValue() > most || (vote.getValue() == most && later)) {
                most = vote.getValue();
                best = vote.getKey();
            }
        }
        ServedModel served = models.get(best);
        return served == null ? null : new Offer(served, best, all);
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
                gone.add(worker);
            }
        }
        return gone;
    }

    public LogProgress progress() {
        return progress;
    }
}
