package io.millrace.worker.model.weights;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.TreeSet;

/**
 * The weights hash of the protocol: the first 8 bytes of a SHA-256 over every tensor, in the order of names: name, dtype, shape,
 * size, and {@link #SLICES} slices of {@link #SLICE_BYTES} bytes spread over its data from the first byte to the last.
 *
 * <p>It touches a few pages per tensor, so it takes milliseconds whatever the size of the model, and does not depend on how
 * tensors are spread over files. It tells models apart; it is no proof against tampering.
 */
public final class WeightHash {

    private static final int SLICES = 4;
    private static final int SLICE_BYTES = 64;

    private WeightHash() {}

    /** Never 0, which means "none" on the topics. */
    public static long of(WeightSource source) {
        MessageDigest sha = sha256();
        for (String name : new TreeSet<>(source.names())) {
            add(sha, source.tensor(name));
        }
        long hash = ByteBuffer.wrap(sha.digest()).getLong();
        return hash == 0 ? 1 : hash;
    }

    private static void add(MessageDigest sha, WeightTensor tensor) {
        byte[] name = tensor.name().getBytes(StandardCharsets.UTF_8);
        byte[] dtype = tensor.dtype().name().getBytes(StandardCharsets.UTF_8);
        int header = 4 + name.length + 4 + dtype.length + 4 + 8 * tensor.shape().length + 8;
        ByteBuffer buffer = ByteBuffer.allocate(header);
        buffer.putInt(name.length).put(name).putInt(dtype.length).put(dtype);
        buffer.putInt(tensor.shape().length);
        for (long d : tensor.shape()) {
            buffer.putLong(d);
        }
        MemorySegment data = tensor.data();
        buffer.putLong(data.byteSize());
        sha.update(buffer.array());
        try {
            addContents(sha, data);
        } catch (InternalError e) {
            throw MappedFile.fault(tensor.described(), e);
        }
    }

    private static void addContents(MessageDigest sha, MemorySegment data) {
        long size = data.byteSize();
        if (size <= (long) SLICES * SLICE_BYTES) {
            sha.update(data.toArray(ValueLayout.JAVA_BYTE));
            return;
        }
        byte[] slice = new byte[SLICE_BYTES];
        for (int i = 0; i < SLICES; i++) {
            long at = (size - SLICE_BYTES) / (SLICES - 1) * i;
            if (i == SLICES - 1) {
                at = size - SLICE_BYTES;
            }
            MemorySegment.copy(data, ValueLayout.JAVA_BYTE, at, slice, 0, SLICE_BYTES);
            sha.update(slice);
        }
    }

    private static MessageDigest sha256() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
