package io.millrace.worker.model.quant;

import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightTensor;
import java.util.Set;

/** How a quantisation method keeps a weight. Stateless after construction. */
interface Format {

    /** Ends of the names of stored tensors that belong to a quantised weight, after the module's name and a dot. */
    Set<String> parts();

    /** Whether this module is quantised; its tensors tell, since lists of exceptions are incomplete in practice. */
    boolean quantised(Parts parts);

    /** The weight; only what its headers say is checked. MR-QUANT-001 to -003. */
    WeightTensor read(Parts parts);

    /** For people, as in "AWQ 4 bit". */
    String name();

    /** Whether the module's {@code weight} is of a type that is no weight by itself. */
    static boolean holdsCodes(Parts parts, DType... dtypes) {
        return parts.has("weight") && Set.of(dtypes).contains(parts.dtype("weight"));
    }
}
