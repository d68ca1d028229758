package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * How the kernels compute.
 *
 * @param isa number of the instruction set in {@code millrace.h}; 0: the best
 * @param precision what products are computed in
 * @param pin whether the helpers stay on one processor each
 * @param repackCache folder where packed weights are kept; null: nowhere
 */
public record CpuSettings(
        int isa, Precision precision, boolean pin, @Nullable Path repackCache) {

    public static final CpuSettings DEFAULT = new CpuSettings(0, Precision.NATIVE, false);

    CpuSettings(int isa, Precision precision, boolean pin) {
        this(isa, precision, pin, null);
    }

    /**
     * As a user asks for them.
     *
     * @param activations {@code auto} or {@code float}; MR-SERVE-012 for another
     * @param repackCache folder; empty: none
     */
    public static CpuSettings of(String activations, boolean pin, String repackCache) {
        Precision precision = switch (activations) {
            case "auto" -> Precision.NATIVE;
            case "float" -> Precision.F32;
            default ->
                throw new MillraceException(
                        "MR-SERVE-012", "activations is " + activations + ". Choose auto or float.");
        };
        return new CpuSettings(0, precision, pin, repackCache.isEmpty() ? null : Path.of(repackCache));
    }

    CpuSettings withIsa(int number) {
        return new CpuSettings(number, precision, pin, repackCache);
    }

    CpuSettings withRepackCache(Path folder) {
        return new CpuSettings(isa, precision, pin, folder);
    }

    /** Numbers in the C ABI are the ordinals. */
    public enum Precision {
        /** int8 activations for quantised weights, bf16 ones for bf16 weights where the processor multiplies such. */
        NATIVE,
        /** float32 throughout. */
        F32
    }
}
