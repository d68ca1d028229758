package io.millrace.worker.model;

import io.millrace.worker.model.weights.WeightSource;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/** Weights that no file holds: their names and shapes are known, what they hold is up to whoever extends this. */
public abstract class ShapedWeights implements WeightSource {

    /** By name, in order. */
    protected final Map<String, long[]> shapes = new LinkedHashMap<>();

    /** Of that tensor, which must be there. */
    protected final long[] shape(String name) {
        return Objects.requireNonNull(shapes.get(name), name);
    }

    @Override
    public final Set<String> names() {
        return shapes.keySet();
    }

    @Override
    public final boolean has(String name) {
        return shapes.containsKey(name);
    }

    @Override
    public final long hash() {
        return 0;
    }

    @Override
    public void close() {}
}
