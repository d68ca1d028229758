package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Watcher;
import io.millrace.router.core.membership.Worker;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** The live workers by what they may run. What changes at a worker is taken over when somebody asks next. Not thread-safe. */
public final class Fleet implements Watcher {

    /**
     * A model that can be had.
     *
     * @param weightsHash weights of most of its live workers
     */
    public record Offer(ServedModel model, long weightsHash, int workers) {}

    private record Key(String model, long weightsHash) {}

    /** One worker in one pool. */
    private record Place(Key key, boolean finishing, Pool pool, Candidate candidate) {}

    /** What is known of one worker here. */
    private static final class Known {
        final List<Place> places = new ArrayList<>();

        @Nullable
        WorkerBeat beat;
    }

    private final int ahead;
    private final Map<Key, Pool> open = new HashMap<>();
    /** Of workers that drain, but finish what was admitted for their weights. */
    private final Map<Key, Pool> finishing = new HashMap<>();

    private final Map<String, TreeMap<Long, Pool>> offers = new HashMap<>();
    private final Map<Worker, Known> known = new HashMap<>();
    private final Set<Worker> changed = new LinkedHashSet<>();
    private final PrefixIndex prefixes = new PrefixIndex();

    /** @param ahead requests a worker is given beyond those it can run at once */
    public Fleet(int ahead) {
        this.ahead = ahead;
    }

    @Override
    public void changed(Worker worker) {
        changed.add(worker);
    }

    @Override
    public void sent(Worker worker, Worker.Load load) {
        prefixes.promised(worker, load);
        changed.add(worker);
    }

    @Override
    public void over(Worker worker, Worker.Load load) {
        prefixes.over(worker, load);
        changed.add(worker);
    }

    @Override
    public void forgotten(Worker worker) {
        changed.remove(worker);
        prefixes.forget(worker);
        Known gone = known.remove(worker);
        if (gone != null) {
            gone.places.forEach(this::leave);
        }
    }

    PrefixIndex prefixes() {
        return prefixes;
    }

    /** Those that take requests of these weights; where there are none, those that finish them; null when there are none either. */
    @Nullable
    Pool pool(String model, long weightsHash) {
        refresh();
        Key key = new Key(model, weightsHash);
        Pool takes = open.get(key);
        return takes != null ? takes : finishing.get(key);
    }

    /** Whether a worker may run requests of these weights. */
    public boolean serves(String model, long weightsHash) {
        return pool(model, weightsHash) != null;
    }

    /** What each worker that may run requests of these weights says of the model. */
    public List<ServedModel> models(String model, long weightsHash) {
        Pool pool = pool(model, weightsHash);
        return pool == null
                ? List.of()
                : pool.members().stream().map(each -> each.model).toList();
    }

    /** The model as live workers offer it; null when none does. Of weights that equally many have, those that came last. */
    public @Nullable Offer offer(String model) {
        refresh();
        TreeMap<Long, Pool> byWeights = offers.get(model);
        if (byWeights == null) {
            return null;
        }
        long best = 0;
        Pool most = null;
        int all = 0;
        for (Map.Entry<Long, Pool> each : byWeights.entrySet()) {
            Pool pool = each.getValue();
            all += pool.size();
            if (most == null
                    || pool.size() > most.size()
                    || (pool.size() == most.size() && pool.firstMs() > most.firstMs())) {
                best = each.getKey();
                most = pool;
            }
        }
        return most == null ? null : new Offer(most.members().getFirst().model, best, all);
    }

    /** Takes over what has changed. A router does so when it reads a beat, so that no request has to wait for it. */
    public void refresh() {
        if (!changed.isEmpty()) {
            changed.forEach(this::refresh);
            changed.clear();
        }
    }

    private void refresh(Worker worker) {
        Known now = known.computeIfAbsent(worker, w -> new Known());
        if (now.beat != worker.beat()) {
            now.beat = worker.beat();
            prefixes.hinted(worker, worker.beat().getModelsList());
        }
        boolean takes = !worker.suspected() && (!worker.draining() || worker.finishing());
        Set<String> names = takes ? worker.names() : Set.of();
        for (Place place : List.copyOf(now.places)) {
            ServedModel model = worker.model(place.key.model);
            if (model != null
                    && takes
                    && place.key.weightsHash == model.getWeightsHash()
                    && place.finishing == worker.draining()) {
                place.pool.change(place.candidate, each -> {
                    each.model = model;
                    each.measure(ahead);
                });
            } else {
                leave(place);
                now.places.remove(place);
            }
        }
        if (now.places.size() < names.size()) {
            for (String name : names) {
                join(worker, now, name);
            }
        }
    }

    private void join(Worker worker, Known now, String name) {
        ServedModel model = worker.model(name);
        if (model == null || now.places.stream().anyMatch(place -> place.key.model.equals(name))) {
            return;
        }
        Key key = new Key(name, model.getWeightsHash());
        boolean drains = worker.draining();
        Pool pool = (drains ? finishing : open).computeIfAbsent(key, k -> new Pool());
        if (!drains) {
            offers.computeIfAbsent(name, n -> new TreeMap<>()).put(key.weightsHash, pool);
        }
        Candidate candidate = new Candidate(worker, model);
        candidate.measure(ahead);
        pool.add(candidate);
        now.places.add(new Place(key, drains, pool, candidate));
    }

    private void leave(Place place) {
        place.pool.remove(place.candidate);
        if (place.pool.size() > 0) {
            return;
        }
        (place.finishing ? finishing : open).remove(place.key);
        TreeMap<Long, Pool> byWeights = offers.get(place.key.model);
        if (!place.finishing && byWeights != null) {
            byWeights.remove(place.key.weightsHash);
            if (byWeights.isEmpty()) {
                offers.remove(place.key.model);
            }
        }
    }
}
