package io.millrace.router.core.placement;

import io.millrace.router.core.membership.Worker;
import io.millrace.shared.proto.PrefixHint;
import io.millrace.shared.proto.ServedModel;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;

/**
 * Which workers have which text prefixes cached: those that their beats name, and those of the requests that this router has with them.
 * A hash begins with its model's name, so one index serves all models. Not thread-safe.
 */
final class PrefixIndex {

    /** Most holders of one prefix that are visited for one request. */
    static final int HOLDERS_MAX = 8;

    /** Most workers found for one request. */
    static final int FOUND_MAX = 16;

    /** That a worker has one prefix. */
    private static final class Holding {
        final Worker worker;
        final long hash;
        int hinted;
        int promised;
        int promises;
        long stamp;
        /** Where it stands among the holders of its prefix. */
        int at;

        Holding(Worker worker, long hash) {
            this.worker = worker;
            this.hash = hash;
        }

        int tokens() {
            return Math.max(hinted, promised);
        }
    }

    /** All that one worker has. */
    private static final class Held {
        final LongMap<Holding> byHash = new LongMap<>();
        /** Those that its last beat names; each has tokens, and so is held until the next beat. */
        List<Holding> hinted = new ArrayList<>();

        long stamp;
    }

    /** Takes what is found. */
    interface Finder {

        /** A worker has so many tokens of the prompt; false when it is none of those asked for, or was found before. */
        boolean found(Worker worker, int tokens);
    }

    private final LongMap<ArrayList<Holding>> holders = new LongMap<>();
    private final Map<Worker, Held> workers = new HashMap<>();

    /** The prefixes that a beat names, in place of those that the one before did. */
    void hinted(Worker worker, List<ServedModel> models) {
        Held held = workers.computeIfAbsent(worker, w -> new Held());
        long stamp = ++held.stamp;
        List<Holding> before = held.hinted;
        held.hinted = new ArrayList<>(before.size());
        for (ServedModel model : models) {
            for (int i = 0; i < model.getPrefixHintsCount(); i++) {
                PrefixHint hint = model.getPrefixHints(i);
                if (hint.getTokens() <= 0) {
                    continue; // long text of few tokens: there is nothing to gain, and what has no tokens is not held
                }
                Holding holding = holding(worker, held, hint.getHash());
                holding.hinted = hint.getTokens();
                if (holding.stamp != stamp) {
                    holding.stamp = stamp;
                    held.hinted.add(holding);
                }
            }
        }
        for (Holding holding : before) {
            if (holding.stamp != stamp) {
                holding.hinted = 0;
                dropIfNone(held, holding);
            }
        }
    }

    /** A request goes to the worker, which has its prefixes from then on. */
    void promised(Worker worker, Worker.Load load) {
        List<Long> hashes = load.prefixHashes();
        Held held = workers.computeIfAbsent(worker, w -> new Held());
        for (int i = 0; i < hashes.size(); i++) {
            Holding holding = holding(worker, held, hashes.get(i));
            holding.promises++;
            holding.promised = (int) (load.promptTokens() * (i + 1) / (hashes.size() + 1));
        }
    }

    /** The request is no longer there; what its worker has of it its beats say. */
    void over(Worker worker, Worker.Load load) {
        Held held = workers.get(worker);
        for (int i = 0; held != null && i < load.prefixHashes().size(); i++) {
            Holding holding = held.byHash.get(load.prefixHashes().get(i));
            if (holding != null && holding.promises > 0 && --holding.promises == 0) {
                holding.promised = 0;
                dropIfNone(held, holding);
            }
        }
    }

    void forget(Worker worker) {
        Held held = workers.remove(worker);
        if (held == null) {
            return;
        }
        for (Iterator<Holding> all = held.byHash.all(); all.hasNext(); ) {
            unlist(all.next());
        }
    }

    private Holding holding(Worker worker, Held held, long hash) {
        Holding holding = held.byHash.get(hash);
        if (holding == null) {
            holding = new Holding(worker, hash);
            held.byHash.put(hash, holding);
            ArrayList<Holding> list = holders.get(hash);
            if (list == null) {
                list = new ArrayList<>(2);
                holders.put(hash, list);
            }
            holding.at = list.size();
            list.add(holding);
        }
        return holding;
    }

    private void dropIfNone(Held held, Holding holding) {
        if (holding.promises == 0 && holding.hinted == 0) {
            held.byHash.remove(holding.hash);
            unlist(holding);
        }
    }

    private void unlist(Holding holding) {
        ArrayList<Holding> list = holders.get(holding.hash);
        if (list == null) {
            return;
        }
        Holding last = list.removeLast();
        if (last != holding) {
            list.set(holding.at, last);
            last.at = holding.at;
        }
        if (list.isEmpty()) {
            holders.remove(holding.hash);
        }
    }

    /**
     * Finds workers by the longest prefix they have, the longest first.
     *
     * @return whether every worker that has any of them was visited; of a prefix that many have, some chosen at random are
     */
    boolean find(List<Long> hashes, RandomGenerator random, Finder finder) {
        boolean complete = true;
        int found = 0;
        for (int i = hashes.size() - 1; i >= 0; i--) {
            if (found >= FOUND_MAX) {
                return false;
            }
            ArrayList<Holding> list = holders.get(hashes.get(i));
            if (list == null) {
                continue;
            }
            int size = list.size();
            int visits = Math.min(size, HOLDERS_MAX);
            int from = visits == size ? 0 : random.nextInt(size);
            complete &= visits == size;
            for (int v = 0; v < visits; v++) {
                Holding holding = list.get((from + v) % size);
                found += finder.found(holding.worker, holding.tokens()) ? 1 : 0;
            }
        }
        return complete;
    }

    /** Tokens of the prompt that one worker has; of long prompts only some lengths are looked up, the long ones closer to each other. */
    int cached(Worker worker, List<Long> hashes) {
        Held held = workers.get(worker);
        int last = hashes.size() - 1;
        for (int i = last; held != null && i >= 0; i -= Math.max(1, (last - i) / 4)) {
            Holding holding = held.byHash.get(hashes.get(i));
            if (holding != null) {
                return holding.tokens();
            }
        }
        return 0;
    }

    /** Prefixes known of anybody, for tests. */
    int size() {
        return holders.size();
    }
}
