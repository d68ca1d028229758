package io.millrace.worker.model.weights;

import java.util.Set;

/** The tensors of a checkpoint by their names in the file. Thread-safe; segments are valid until {@link #close}. */
public interface WeightSource extends AutoCloseable {

    Set<String> names();

    boolean has(String name);

    /** Throws a coded error naming file and tensor when there is none. */
    WeightTensor tensor(String name);

    /** 64-bit hash of names, shapes, dtypes and data sizes and sampled contents: the weights hash of the protocol. */
    long hash();

    @Override
    void close();
}
