package io.millrace.worker.model.decoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.Arrays;
import java.util.List;

/** Compares what a config promises with what a checkpoint holds. */
final class SlotCheck {

    private static final List<DType> INTEGERS = List.of(DType.I32, DType.I8, DType.U8);

    private final DecoderConfig config;
    private final WeightSource source;

    SlotCheck(DecoderConfig config, WeightSource source) {
        this.config = config;
        this.source = source;
    }

    /** Rows of the embedding; the config's number when it has one. */
    int vocabulary(String embedding) {
        WeightTensor tensor = require(embedding);
        long[] shape = tensor.shape();
        if (shape.length != 2) {
            throw wrong(embedding, "has " + shape.length + " dimensions where an embedding has 2");
        }
        int said = config.vocabularySize();
        if (said != 0 && shape[0] != said) {
            throw wrong(embedding, "has " + shape[0] + " rows, but the vocabulary has " + said + " tokens");
        }
        if (shape[0] < 1 || shape[0] > Integer.MAX_VALUE - 8) {
            throw wrong(embedding, "has " + shape[0] + " rows");
        }
        return (int) shape[0];
    }

    void check(WeightSlot slot) {
        WeightTensor tensor = require(slot.tensor());
        long[] wanted = slot.shape().stream().mapToLong(Integer::longValue).toArray();
        if (!Arrays.equals(tensor.shape(), wanted)) {
            throw wrong(
                    slot.tensor(),
                    "has shape " + Arrays.toString(tensor.shape()) + ", but the config asks for "
                            + Arrays.toString(wanted));
        }
        if (INTEGERS.contains(tensor.dtype())) {
            throw wrong(
                    slot.tensor(), "is of type " + tensor.dtype() + ", which is no weight without its quantisation");
        }
    }

    MillraceException missing(String tensor) {
        return new MillraceException(
                "MR-MODEL-003",
                config.origin() + ": tensor " + tensor + " is missing, which a " + config.architecture() + " model of "
                        + config.layers() + " layers needs. The file is not complete or not of this config;"
                        + " get it again from its publisher.");
    }

    private WeightTensor require(String name) {
        if (!source.has(name)) {
            throw missing(name);
        }
        return source.tensor(name);
    }

    private MillraceException wrong(String tensor, String what) {
        return new MillraceException(
                "MR-MODEL-003",
                config.origin() + ": tensor " + tensor + " " + what
                        + ". Config and tensors are not of one model; get both again from the publisher.");
    }
}
