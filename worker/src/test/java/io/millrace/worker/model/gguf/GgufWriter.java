package io.millrace.worker.model.gguf;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes GGUF 3 files with float32 tensors. */
public final class GgufWriter {

    private static final int ALIGNMENT = 32;

    private final Map<String, Object> metadata = new LinkedHashMap<>();
    private final Map<String, Tensor> tensors = new LinkedHashMap<>();

    /** Values, slowest dimension first. */
    private record Tensor(int[] shape, float[] values) {}

    /** An Integer, Float, Boolean, String, or a list of one of these. */
    public GgufWriter put(String key, Object value) {
        metadata.put(key, value);
        return this;
    }

    public GgufWriter tensor(String name, float[] values, int... shape) {
        tensors.put(name, new Tensor(shape, values));
        return this;
    }

    public void write(Path file) throws IOException {
        Bytes head = new Bytes();
        head.text("GGUF").u32(3).u64(tensors.size()).u64(metadata.size());
        metadata.forEach((key, value) -> {
            head.string(key);
            head.value(value, true);
        });
        long offset = 0;
        for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
            int[] shape = entry.getValue().shape();
            head.string(entry.getKey()).u32(shape.length);
            for (int i = shape.length - 1; i >= 0; i--) {
                head.u64(shape[i]);
            }
            head.u32(0).u64(offset);
            offset = aligned(offset + 4L * entry.getValue().values().length);
        }
        try (OutputStream out = Files.newOutputStream(file)) {
            head.pad();
            out.write(head.bytes.toByteArray());
            for (Tensor tensor : tensors.values()) {
                Bytes data = new Bytes();
                ByteBuffer buffer =
                        ByteBuffer.allocate(4 * tensor.values().length).order(ByteOrder.LITTLE_ENDIAN);
                buffer.asFloatBuffer().put(tensor.values());
                data.bytes.writeBytes(buffer.array());
                data.pad();
                out.write(data.bytes.toByteArray());
            }
        }
    }

    private static long aligned(long offset) {
        return (offset + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }

    private static final class Bytes {
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();

        Bytes text(String text) {
            bytes.writeBytes(text.getBytes(StandardCharsets.UTF_8));
            return this;
        }

        Bytes u32(int value) {
            bytes.writeBytes(ByteBuffer.allocate(4)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putInt(value)
                    .array());
            return this;
        }

        Bytes u64(long value) {
            bytes.writeBytes(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(value)
                    .array());
            return this;
        }

        Bytes string(String text) {
            return u64(text.getBytes(StandardCharsets.UTF_8).length).text(text);
        }

        void value(Object value, boolean typed) {
            switch (value) {
                case Integer i -> type(typed, 4).u32(i);
                case Float f -> type(typed, 6).u32(Float.floatToRawIntBits(f));
                case Boolean b -> type(typed, 7).bytes.write(b ? 1 : 0);
                case String s -> type(typed, 8).string(s);
                case List<?> list -> {
                    type(typed, 9).u32(typeOf(list.getFirst())).u64(list.size());
                    list.forEach(entry -> value(entry, false));
                }
                default -> throw new IllegalArgumentException(value.toString());
            }
        }

        private Bytes type(boolean typed, int type) {
            return typed ? u32(type) : this;
        }

        private static int typeOf(Object value) {
            return switch (value) {
                case Integer i -> 4;
                case Float f -> 6;
                case Boolean b -> 7;
                default -> 8;
            };
        }

        void pad() {
            while (bytes.size() % ALIGNMENT != 0) {
                bytes.write(0);
            }
        }
    }
}
