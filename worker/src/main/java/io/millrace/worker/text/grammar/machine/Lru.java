package io.millrace.worker.text.grammar.machine;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.ToLongFunction;
import org.jspecify.annotations.Nullable;

/** Keeps what was used last, up to a weight. Thread-safe. */
public final class Lru<K, V> {

    private final long most;
    private final ToLongFunction<V> weigher;
    private final Map<K, V> entries = new LinkedHashMap<>(16, 0.75f, true);
    private long weight;

    public Lru(long most, ToLongFunction<V> weigher) {
        this.most = most;
        this.weigher = weigher;
    }

    public synchronized @Nullable V get(K key) {
        return entries.get(key);
    }

    public synchronized void put(K key, V value) {
        V before = entries.put(key, value);
        weight += weigher.applyAsLong(value) - (before == null ? 0 : weigher.applyAsLong(before));
        var oldest = entries.entrySet().iterator();
        while (weight > most && oldest.hasNext()) {
            weight -= weigher.applyAsLong(oldest.next().getValue());
            oldest.remove();
        }
    }
}
