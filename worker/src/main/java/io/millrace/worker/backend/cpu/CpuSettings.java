package io.millrace.worker.backend.cpu;

/**
 * How the kernels compute.
 *
 * @param isa number of the instruction set in {@code millrace.h}; 0: the best
 * @param precision what products are computed in
 * @param pin whether the helpers stay on one processor each
 */
record CpuSettings(int isa, Precision precision, boolean pin) {

    static final CpuSettings DEFAULT = new CpuSettings(0, Precision.NATIVE, false);

    /** Numbers in the C ABI are the ordinals. */
    enum Precision {
        /** int8 activations for quantised weights, bf16 ones for bf16 weights where the processor multiplies such. */
        NATIVE,
        /** float32 throughout. */
        F32
    }
}
