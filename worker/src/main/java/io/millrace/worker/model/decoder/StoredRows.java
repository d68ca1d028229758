package io.millrace.worker.model.decoder;

import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** The part of a stored tensor that a slot is. */
final class StoredRows {

    private StoredRows() {}

    /**
     * A tensor of the slot's shape. Consecutive rows share the file's memory, others are copied as they are encoded; what is
     * turned is copied as float32.
     */
    static WeightTensor of(WeightTensor tensor, WeightSlot slot) {
        WeightSlot.Rows rows = slot.rows();
        long[] shape = slot.shape().stream().mapToLong(Integer::longValue).toArray();
        if (rows.turned()) {
            return turned(tensor, slot, shape);
        }
        if (tensor.packed() != null) {
            return rows.run() == shape[0] && shape[0] == tensor.shape()[0]
                    ? tensor
                    : tensor.packedRows(rows.first(), rows.run(), rows.stride(), shape[0]);
        }
        long columns = shape.length == 1 ? 1 : shape[shape.length - 1];
        long rowBytes = tensor.dtype().bytes(columns);
        long total = shape[0];
        if (rows.run() == total) {
            MemorySegment part = tensor.data().asSlice(rows.first() * rowBytes, total * rowBytes);
            return tensor.of(tensor.dtype(), shape, part);
        }
        MemorySegment copy = Arena.ofAuto().allocate(total * rowBytes, 64);
        for (long done = 0; done < total; done += rows.run()) {
            long from = rows.first() + done / rows.run() * rows.stride();
            MemorySegment.copy(tensor.data(), from * rowBytes, copy, done * rowBytes, rows.run() * rowBytes);
        }
        return tensor.of(tensor.dtype(), shape, copy.asReadOnly());
    }

    private static WeightTensor turned(WeightTensor tensor, WeightSlot slot, long[] shape) {
        int columns = (int) shape[1];
        int run = slot.rows().run();
        float[] block = new float[columns * run];
        MemorySegment copy = Arena.ofAuto().allocate(slot.elements() * Float.BYTES, 64);
        for (long done = 0; done < shape[0]; done += run) {
            Dequantizer.rows(tensor, done / run * columns, columns, block, 0);
            for (int r = 0; r < run; r++) {
                for (int c = 0; c < columns; c++) {
                    copy.setAtIndex(ValueLayout.JAVA_FLOAT, (done + r) * columns + c, block[c * run + r]);
                }
            }
        }
        return tensor.of(DType.F32, shape, copy.asReadOnly());
    }
}
