package io.millrace.worker.model.decoder;

import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.function.UnaryOperator;

/** Another checkpoint's tensors under other names. */
final class RenamedSource implements WeightSource {

    private final WeightSource source;
    private final Map<String, String> own = new HashMap<>();

    RenamedSource(WeightSource source, UnaryOperator<String> rename) {
        this.source = source;
        source.names().forEach(name -> own.put(rename.apply(name), name));
    }

    @Override
    public Set<String> names() {
        return own.keySet();
    }

    @Override
    public boolean has(String name) {
        return own.containsKey(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        return source.tensor(Objects.requireNonNull(own.get(name)));
    }

    @Override
    public long hash() {
        return source.hash();
    }

    @Override
    public void close() {
        source.close();
    }
}
