package io.millrace.worker.serving;

import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.gguf.GgufModelCheck;
import io.millrace.worker.model.weights.FolderFiles;
import io.millrace.worker.model.weights.PackedWeight;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.HashMap;
import java.util.Map;
import java.util.function.Function;

/** The opened files of a model, and what can be said of its weights before they are loaded. */
sealed interface OpenModel extends AutoCloseable permits ModelFiles, PooledFiles {

    /**
     * Opens and checks a .gguf file or a folder; coded errors name file and remedy.
     *
     * @param task as of {@link ModelOptions}: what the model is for where its files leave that open
     */
    static OpenModel open(Path path, String task) {
        return Files.isDirectory(path) ? folder(path, task) : gguf(path, task);
    }

    private static OpenModel gguf(Path path, String task) {
        GgufFile file = GgufFile.openModel(path);
        try {
            GgufModelCheck.validate(file);
            PooledFiles pooled = PooledFiles.gguf(path, file, task);
            return pooled == null ? ModelFiles.gguf(path, file) : pooled;
        } catch (RuntimeException e) {
            file.close();
            throw e;
        }
    }

    private static OpenModel folder(Path path, String task) {
        FolderFiles.checkAll(path);
        String json = ModelFiles.text(path.resolve("config.json"));
        PooledFiles pooled = PooledFiles.folder(path, json, task);
        return pooled == null ? ModelFiles.folder(path, json) : pooled;
    }

    /** The .gguf file or the folder. */
    Path path();

    /** Of a GGUF file; empty for a folder. */
    Map<String, Object> metadata();

    WeightSource source();

    /** Weights of its program, by slot name. */
    Map<String, WeightSlot> slots();

    default boolean isGguf() {
        return !metadata().isEmpty();
    }

    /** The stored tensors that its program uses, each once. */
    private Collection<WeightTensor> used() {
        Map<String, WeightTensor> used = new HashMap<>();
        slots().values().forEach(slot -> used.put(slot.tensor(), source().tensor(slot.tensor())));
        return used.values();
    }

    /** Number of weights; a tied embedding counts once. */
    default long parameters() {
        return used().stream().mapToLong(WeightTensor::elements).sum();
    }

    /** Bytes of the weights as stored. */
    default long storedBytes() {
        return used().stream().mapToLong(WeightTensor::storedBytes).sum();
    }

    /** For people: how most of the quantised weights are kept where a checkpoint has such, else the type of most bytes. */
    default String format() {
        Collection<WeightTensor> used = used();
        String packed = most(used, OpenModel::packedFormat);
        return packed.isEmpty() ? most(used, tensor -> tensor.dtype().name()) : packed;
    }

    private static String packedFormat(WeightTensor tensor) {
        PackedWeight packed = tensor.packed();
        return packed == null ? "" : packed.format();
    }

    /** What most bytes are called; empty: nothing is called anything. */
    private static String most(Collection<WeightTensor> tensors, Function<WeightTensor, String> name) {
        Map<String, Long> bytes = new HashMap<>();
        tensors.forEach(tensor -> bytes.merge(name.apply(tensor), tensor.storedBytes(), Long::sum));
        bytes.remove("");
        return bytes.entrySet().stream()
                .max(Map.Entry.<String, Long>comparingByValue().thenComparing(Map.Entry.comparingByKey()))
                .map(Map.Entry::getKey)
                .orElse("");
    }

    @Override
    default void close() {
        source().close();
    }
}
