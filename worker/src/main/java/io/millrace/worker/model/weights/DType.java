package io.millrace.worker.model.weights;

/** How a stored tensor's values are encoded. Block types hold {@link #blockSize} values in {@link #blockBytes} bytes along the last dimension. */
public enum DType {
    F32(1, 4),
    F16(1, 2),
    BF16(1, 2),
    I32(1, 4),
    I8(1, 1),
    U8(1, 1),
    Q4_0(32, 18),
    Q4_1(32, 20),
    Q5_0(32, 22),
    Q5_1(32, 24),
    Q8_0(32, 34),
    Q2_K(256, 84),
    Q3_K(256, 110),
    Q4_K(256, 144),
    Q5_K(256, 176),
    Q6_K(256, 210),
    IQ4_NL(32, 18),
    IQ4_XS(256, 136),
    F64(1, 8),
    I64(1, 8),
    I16(1, 2),
    U16(1, 2),
    U32(1, 4),
    U64(1, 8),
    BOOL(1, 1),
    F8_E4M3(1, 1),
    F8_E5M2(1, 1),
    /** Codes, scales and more in tensors of their own: see {@link WeightTensor#packed}. */
    PACKED(1, 0);

    private final int blockSize;
    private final int blockBytes;

    DType(int blockSize, int blockBytes) {
        this.blockSize = blockSize;
        this.blockBytes = blockBytes;
    }

    /** Values in a block. */
    public int blockSize() {
        return blockSize;
    }

    /** Bytes of a block. */
    public int blockBytes() {
        return blockBytes;
    }

    /** Bytes of {@code values} values, a whole number of blocks. */
    public long bytes(long values) {
        return Math.multiplyExact(values / blockSize, (long) blockBytes);
    }
}
