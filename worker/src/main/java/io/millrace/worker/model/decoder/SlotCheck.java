package io.millrace.worker.model.decoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/** Compares what a config promises with what a checkpoint holds. */
public final class SlotCheck {

    private static final List<DType> INTEGERS = List.of(DType.I32, DType.I8, DType.U8);

    /** Buffers that old checkpoints carry along; they follow from the config. */
    private static final List<String> HARMLESS = List.of("rotary_emb.inv_freq");

    private final String origin;
    private final String architecture;
    private final int layers;
    private final WeightSource source;

    /** @param origin of the config, for messages */
    public SlotCheck(String origin, String architecture, int layers, WeightSource source) {
        this.origin = origin;
        this.architecture = architecture;
        this.layers = layers;
        this.source = source;
    }

    /**
     * Rows of the embedding.
     *
     * @param said the config's number; 0: it says none
     */
    public int vocabulary(String embedding, int said) {
        WeightTensor tensor = require(embedding);
        long[] shape = tensor.shape();
        if (shape.length != 2) {
            throw wrong(embedding, "has " + shape.length + " dimensions where an embedding has 2");
        }
        if (said != 0 && shape[0] != said) {
            throw wrong(embedding, "has " + shape[0] + " rows, but the vocabulary has " + said + " tokens");
        }
        if (shape[0] < 1 || shape[0] > Integer.MAX_VALUE - 8) {
            throw wrong(embedding, "has " + shape[0] + " rows");
        }
        return (int) shape[0];
    }

    /** The stored tensor has the shape that the slot wants, and is of real numbers. */
    public void check(WeightSlot slot) {
        WeightTensor tensor = require(slot.tensor());
        long[] wanted =
                slot.rows().stored().stream().mapToLong(Integer::longValue).toArray();
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

    /**
     * Tensors of layers that nothing reads: a config that leaves out a bias or a layer would give wrong answers, not an error.
     *
     * @param prefix what the names of all layers' tensors begin with
     */
    void unused(String prefix, Collection<WeightSlot> slots) {
        Set<String> used = slots.stream().map(WeightSlot::tensor).collect(Collectors.toSet());
        List<String> left = source.names().stream()
                .filter(name -> name.startsWith(prefix) && !used.contains(name))
                .filter(name -> HARMLESS.stream().noneMatch(name::endsWith))
                .sorted()
                .toList();
        if (!left.isEmpty()) {
            String others = left.size() == 1 ? "" : " (and " + (left.size() - 1) + " others like it)";
            throw wrong(
                    left.getFirst(),
                    "is there" + others + ", but a " + architecture + " model of " + layers
                            + " layers with this config has none");
        }
    }

    private MillraceException missing(String tensor) {
        return new MillraceException(
                "MR-MODEL-003",
                origin + ": tensor " + tensor + " is missing, which a " + architecture + " model of "
                        + layers + " layers needs. The file is not complete or not of this config;"
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
                origin + ": tensor " + tensor + " " + what
                        + ". Config and tensors are not of one model; get both again from the publisher.");
    }
}
