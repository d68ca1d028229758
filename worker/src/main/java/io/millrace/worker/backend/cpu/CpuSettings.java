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
 * @param libraryRows from which number of rows on products are cuBLASLt's, on a CUDA device; 0: none are, and all are batch-invariant
 */
public record CpuSettings(
        int isa, Precision precision, boolean pin, @Nullable Path repackCache, int libraryRows) {

    public static final CpuSettings DEFAULT = new CpuSettings(0, Precision.NATIVE, false);

    /**
     * Where nothing else is asked for. From here on our panels of 128 rows read a weight more than once, and no step is a graph, which a product of the
     * library keeps it from being. No GPU has measured it: {@code kernels/gpu-check} says where the two cross on a chip.
     */
    static final int LIBRARY_ROWS = 256;

    private static final String LIBRARY = "library";

    CpuSettings(int isa, Precision precision, boolean pin) {
        this(isa, precision, pin, null, 0);
    }

    /**
     * As a user asks for them.
     *
     * @param activations {@code auto}, {@code float}, or with products of the library {@code fp8}; MR-SERVE-012 for another
     * @param repackCache folder; empty: none
     * @param products {@code invariant}, {@code library}, or {@code library:ROWS}; MR-SERVE-013 for another
     */
    public static CpuSettings of(String activations, boolean pin, String repackCache, String products) {
        Precision precision = switch (activations) {
            case "auto" -> Precision.NATIVE;
            case "float" -> Precision.F32;
            case "fp8" -> Precision.FP8;
            default ->
                throw new MillraceException(
                        "MR-SERVE-012", "activations is " + activations + ". Choose auto, float or fp8.");
        };
        int libraryRows = products.equals("invariant") ? 0 : libraryRows(products);
        if (precision == Precision.FP8 && libraryRows == 0) {
            throw new MillraceException(
                    "MR-SERVE-012",
                    "activations is fp8, which only products of cuBLASLt take. Add --products library, or choose auto or float.");
        }
        return new CpuSettings(0, precision, pin, repackCache.isEmpty() ? null : Path.of(repackCache), libraryRows);
    }

    private static int libraryRows(String products) {
        if (products.equals(LIBRARY)) {
            return LIBRARY_ROWS;
        }
        try {
            int rows =
                    products.startsWith(LIBRARY + ":") ? Integer.parseInt(products.substring(LIBRARY.length() + 1)) : 0;
            if (rows > 0) {
                return rows;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new MillraceException(
                "MR-SERVE-013",
                "products is " + products
                        + ". Choose invariant, library, or library:ROWS with the least number of rows, 1 or more, of a product that"
                        + " is cuBLASLt's; library alone is library:" + LIBRARY_ROWS + ".");
    }

    CpuSettings withIsa(int number) {
        return new CpuSettings(number, precision, pin, repackCache, libraryRows);
    }

    CpuSettings withRepackCache(Path folder) {
        return new CpuSettings(isa, precision, pin, folder, libraryRows);
    }

    CpuSettings withLibraryRows(int rows) {
        return new CpuSettings(isa, precision, pin, repackCache, rows);
    }

    /** What of it concerns a device of its own. */
    CpuSettings onDevice() {
        return new CpuSettings(0, precision, false, null, libraryRows);
    }

    /** Numbers in the C ABI are the ordinals. */
    public enum Precision {
        /** int8 activations for quantised weights, bf16 ones for bf16 weights where the processor multiplies such. */
        NATIVE,
        /** float32 throughout. */
        F32,
        /** As NATIVE, but cuBLASLt multiplies weights in fp8 with a scale a row with activations in fp8. */
        FP8
    }
}
