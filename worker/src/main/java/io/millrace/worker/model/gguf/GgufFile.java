package io.millrace.worker.model.gguf;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.MappedFile;
import io.millrace.worker.model.weights.WeightHash;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A GGUF file, or all files of a split model, memory-mapped. Thread-safe; tensors are valid until {@link #close}.
 *
 * <p>Metadata values are {@code Long} (all integers; a {@code BigInteger} above 2^63-1), {@code Double}, {@code Boolean},
 * {@code String}; arrays are {@code List<String>}, {@code long[]}, {@code float[]}, {@code double[]} or {@code boolean[]}.
 */
public final class GgufFile implements WeightSource {

    private final MappedFile file;
    private final int version;
    private final Map<String, Object> metadata;
    private final Map<String, WeightTensor> tensors;
    /** Of a split model: the files whose tensors these are, this one among them. */
    private final List<GgufFile> parts;

    private GgufFile(MappedFile file, GgufParser parsed) {
        this.file = file;
        this.version = parsed.version();
        this.metadata = parsed.metadata();
        this.tensors = parsed.tensors();
        this.parts = List.of();
    }

    private GgufFile(List<GgufFile> parts) {
        GgufFile first = parts.getFirst();
        this.file = first.file;
        this.version = first.version;
        this.metadata = first.metadata;
        Map<String, WeightTensor> all = new LinkedHashMap<>();
        for (GgufFile part : parts) {
            for (WeightTensor tensor : part.tensors()) {
                if (all.put(tensor.name(), tensor) != null) {
                    throw GgufShards.broken(part, "holds tensor " + tensor.name() + ", which another part holds too");
                }
            }
        }
        this.tensors = Collections.unmodifiableMap(all);
        this.parts = parts;
    }

    /**
     * Opens a model: of a split one the others of its files too, whichever is named. The metadata are those of the first.
     *
     * @throws MillraceException as of {@link #open}; MR-GGUF-008 when the parts are not all there or not of one model
     */
    public static GgufFile openModel(Path path) {
        GgufFile named = open(path);
        if (!GgufShards.isSplit(named)) {
            return named;
        }
        List<GgufFile> parts = GgufShards.open(named);
        try {
            return new GgufFile(parts);
        } catch (MillraceException e) {
            parts.forEach(GgufFile::close);
            throw e;
        }
    }

    /** Maps and checks the whole structure; MR-GGUF-00x or MR-WEIGHTS-00x when the file is not sound. */
    public static GgufFile open(Path path) {
        return MappedFile.open(path, file -> {
            GgufParser parser = new GgufParser(path, file.bytes());
            parser.parse();
            return new GgufFile(file, parser);
        });
    }

    public Path path() {
        return file.path();
    }

    /** 2 or 3. */
    public int version() {
        return version;
    }

    /** In the order of the file. */
    public Map<String, Object> metadata() {
        return metadata;
    }

    public boolean hasKey(String key) {
        return metadata.containsKey(key);
    }

    public String string(String key) {
        return required(key, String.class, "a string");
    }

    public String string(String key, String absent) {
        return hasKey(key) ? string(key) : absent;
    }

    public long integer(String key) {
        return required(key, Long.class, "an integer below 2^63");
    }

    public long integer(String key, long absent) {
        return hasKey(key) ? integer(key) : absent;
    }

    /** An integer of at least {@code min} that fits an int. */
    public int intAtLeast(String key, int min) {
        long value = integer(key);
        if (value < min || value > Integer.MAX_VALUE) {
            throw unfit("metadata key " + key + " is " + value + "; it must be at least " + min + " and below 2^31");
        }
        return (int) value;
    }

    /** A float; an integer is taken as one. */
    public double real(String key) {
        Object value = metadata.get(key);
        return value instanceof Long n ? n.doubleValue() : required(key, Double.class, "a number");
    }

    public double real(String key, double absent) {
        return hasKey(key) ? real(key) : absent;
    }

    public boolean bool(String key, boolean absent) {
        return hasKey(key) ? required(key, Boolean.class, "a boolean") : absent;
    }

    /** An array of strings, unmodifiable. */
    @SuppressWarnings("unchecked") // the parser makes no list but of strings
    public List<String> strings(String key) {
        return (List<String>) required(key, List.class, "an array of strings");
    }

    /** An array of integers; the array itself, not to be changed. */
    public long[] integers(String key) {
        return required(key, long[].class, "an array of integers");
    }

    /** An array of integers that fit an int. */
    public int[] ints(String key) {
        long[] values = integers(key);
        int[] ints = new int[values.length];
        for (int i = 0; i < ints.length; i++) {
            if (values[i] != (int) values[i]) {
                throw unfit("metadata key " + key + " holds " + values[i] + " at index " + i + ", beyond 32 bits");
            }
            ints[i] = (int) values[i];
        }
        return ints;
    }

    /** An array of float32; the array itself, not to be changed. */
    public float[] floats(String key) {
        return required(key, float[].class, "an array of float32");
    }

    @Override
    public Set<String> names() {
        return tensors.keySet();
    }

    /** In the order of the file. */
    public Collection<WeightTensor> tensors() {
        return tensors.values();
    }

    @Override
    public boolean has(String name) {
        return tensors.containsKey(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        WeightTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new MillraceException(
                    "MR-GGUF-006",
                    path() + " has no tensor " + name + " among its " + tensors.size()
                            + ". The file is incomplete or of another architecture; get a complete one.");
        }
        return tensor;
    }

    @Override
    public long hash() {
        return WeightHash.of(this);
    }

    /** The file is a sound container but cannot be a model: MR-GGUF-007. */
    public MillraceException unfit(String what) {
        return new MillraceException(
                "MR-GGUF-007", path() + " cannot be loaded as a model: " + what + ". Convert or download it again.");
    }

    private <T> T required(String key, Class<T> type, String wanted) {
        @Nullable Object value = metadata.get(key);
        if (value == null) {
            throw new MillraceException(
                    "MR-GGUF-005",
                    path() + " has no metadata key " + key + ", which must be " + wanted
                            + ". The file is incomplete; convert or download it again.");
        }
        if (!type.isInstance(value)) {
            throw new MillraceException(
                    "MR-GGUF-005",
                    path() + ": metadata key " + key + " is " + value.getClass().getSimpleName() + ", not " + wanted
                            + ". Convert or download the file again.");
        }
        return type.cast(value);
    }

    /** Files of the model that are open. */
    int partCount() {
        return Math.max(1, parts.size());
    }

    @Override
    public void close() {
        parts.forEach(GgufFile::close);
        file.close();
    }
}
