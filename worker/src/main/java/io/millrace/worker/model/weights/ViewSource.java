package io.millrace.worker.model.weights;

import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;

/** A checkpoint whose tensors go by other names too: as they are, or runs of rows of one. Closing it closes the checkpoint. */
public final class ViewSource implements WeightSource {

    private final WeightSource base;
    private final Map<String, WeightTensor> views = new HashMap<>();

    public ViewSource(WeightSource base) {
        this.base = base;
    }

    /** Gives a tensor of the checkpoint another name. */
    public void alias(String name, String tensor) {
        views.put(name, base.tensor(tensor));
    }

    /**
     * Names an equal part of a tensor's rows, or of a vector's values: fused projections.
     *
     * @param part 0 to {@code parts - 1}
     */
    public void part(String name, String tensor, int part, int parts) {
        WeightTensor whole = base.tensor(tensor);
        long[] shape = whole.shape().clone();
        if (shape.length == 0 || shape[0] % parts != 0) {
            // Its check will name the shape that does not fit.
            alias(name, tensor);
            return;
        }
        shape[0] /= parts;
        long bytes = whole.dtype().bytes(whole.elements() / parts);
        views.put(
                name,
                new WeightTensor(tensor, whole.dtype(), shape, whole.data().asSlice(part * bytes, bytes)));
    }

    @Override
    public Set<String> names() {
        Set<String> names = new HashSet<>(base.names());
        names.addAll(views.keySet());
        return names;
    }

    @Override
    public boolean has(String name) {
        return views.containsKey(name) || base.has(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        WeightTensor view = views.get(name);
        return view == null ? base.tensor(name) : view;
    }

    @Override
    public long hash() {
        return base.hash();
    }

    @Override
    public void close() {
        base.close();
    }
}
