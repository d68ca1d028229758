package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** The stored tensors of one quantised module, found by the ends of their names and checked. */
final class Parts {

    static final List<DType> FLOATS = List.of(DType.F32, DType.F16, DType.BF16);
    static final List<DType> INT32 = List.of(DType.I32);

    private static final int MAX_SIZE = 1 << 28;

    private final WeightSource source;
    private final String module;

    /** @param module as in {@code model.layers.0.mlp.down_proj} */
    Parts(WeightSource source, String module) {
        this.source = source;
        this.module = module;
    }

    String module() {
        return module;
    }

    /** Name of the weight that the parts make up. */
    String weightName() {
        return module + ".weight";
    }

    boolean has(String part) {
        return source.has(module + "." + part);
    }

    /** Of a part that is there. */
    DType dtype(String part) {
        return source.tensor(module + "." + part).dtype();
    }

    /** MR-QUANT-003 when it is missing or of another type. */
    WeightTensor get(String part, List<DType> dtypes) {
        if (!has(part)) {
            throw QuantErrors.tensor(
                    "tensor " + module + "." + part + " of " + anyFile(),
                    "is missing, which the quantised module needs");
        }
        WeightTensor tensor = source.tensor(module + "." + part);
        if (!dtypes.contains(tensor.dtype())) {
            throw QuantErrors.tensor(
                    tensor.described(), "is of type " + tensor.dtype() + " where " + dtypes + " is needed");
        }
        return tensor;
    }

    @Nullable
    WeightTensor orNull(String part, List<DType> dtypes) {
        return has(part) ? get(part, dtypes) : null;
    }

    /** A matrix; its sizes as ints. */
    WeightTensor matrix(String part, List<DType> dtypes) {
        WeightTensor tensor = get(part, dtypes);
        if (tensor.shape().length != 2 || !sound(tensor.shape())) {
            throw QuantErrors.tensor(
                    tensor.described(), "has shape " + Arrays.toString(tensor.shape()) + " where a matrix is needed");
        }
        return tensor;
    }

    private static boolean sound(long[] shape) {
        return Arrays.stream(shape).allMatch(n -> n > 0 && n <= MAX_SIZE);
    }

    static void checkShape(WeightTensor tensor, long... wanted) {
        if (!Arrays.equals(tensor.shape(), wanted)) {
            throw QuantErrors.tensor(
                    tensor.described(),
                    "has shape " + Arrays.toString(tensor.shape()) + " where " + Arrays.toString(wanted)
                            + " is needed");
        }
    }

    static int rows(WeightTensor matrix) {
        return (int) matrix.shape()[0];
    }

    static int columns(WeightTensor matrix) {
        return (int) matrix.shape()[1];
    }

    private String anyFile() {
        String prefix = module + ".";
        return source.names().stream()
                .filter(name -> name.startsWith(prefix))
                .map(name -> source.tensor(name).file())
                .findFirst()
                .orElse("the checkpoint");
    }
}
