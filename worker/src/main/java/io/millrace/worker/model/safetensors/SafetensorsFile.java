package io.millrace.worker.model.safetensors;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.WeightHash;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;

/** One safetensors file, memory-mapped. Thread-safe; tensors are valid until {@link #close}. */
public final class SafetensorsFile implements WeightSource {

    private final MappedFile file;
    private final Map<String, String> metadata;
    private final Map<String, WeightTensor> tensors = new LinkedHashMap<>();

    private SafetensorsFile(MappedFile file, SafetensorsHeader header) {
        this.file = file;
        this.metadata = Collections.unmodifiableMap(header.metadata());
        for (SafetensorsHeader.Entry e : header.entries().values()) {
            tensors.put(
                    e.name(),
                    new WeightTensor(
                            e.name(),
                            e.dtype(),
                            e.shape(),
                            file.bytes().asSlice(header.dataStart() + e.begin(), e.end() - e.begin()),
                            file.path().toString(),
                            null));
        }
    }

    /** Maps and checks the whole structure; MR-ST-00x or MR-WEIGHTS-00x when the file is not sound. */
    public static SafetensorsFile open(Path path) {
        return MappedFile.open(path, file -> {
            SafetensorsHeader header = new SafetensorsHeader(path, file.bytes());
            header.read();
            return new SafetensorsFile(file, header);
        });
    }

    public Path path() {
        return file.path();
    }

    /** The header's {@code __metadata__}. */
    public Map<String, String> metadata() {
        return metadata;
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(tensors.keySet());
    }

    @Override
    public boolean has(String name) {
        return tensors.containsKey(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        WeightTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw missing(path(), name, tensors.size());
        }
        return tensor;
    }

    static MillraceException missing(Path path, String name, int of) {
        return new MillraceException(
                "MR-ST-004",
                path + " has no tensor " + name + " among its " + of
                        + ". The checkpoint is incomplete or of another architecture; get a complete one.");
    }

    @Override
    public long hash() {
        return WeightHash.of(this);
    }

    @Override
    public void close() {
        file.close();
    }
}
