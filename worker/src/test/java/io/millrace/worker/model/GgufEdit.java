package io.millrace.worker.model;

import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes GGUF files for tests: metadata and tensors of existing files, changed or spread over several. */
public final class GgufEdit {

    private static final int ALIGNMENT = 32;
    private static final Map<DType, Integer> TYPES =
            Map.of(DType.F32, 0, DType.F16, 1, DType.Q4_0, 2, DType.Q4_1, 3, DType.Q8_0, 8, DType.I32, 26);

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    private GgufEdit() {}

    /** Splits a model as {@code gguf-split} does: metadata in the first part only. The parts, in order. */
    public static List<Path> split(Path model, Path folder, String prefix, int parts) throws IOException {
        List<Path> paths = new ArrayList<>();
        try (GgufFile file = GgufFile.open(model)) {
            List<WeightTensor> tensors = List.copyOf(file.tensors());
            for (int i = 0; i < parts; i++) {
                Map<String, Object> metadata = new LinkedHashMap<>(i == 0 ? file.metadata() : Map.of());
                metadata.put("split.no", (long) i);
                metadata.put("split.count", (long) parts);
                metadata.put("split.tensors.count", (long) tensors.size());
                Path path = folder.resolve("%s-%05d-of-%05d.gguf".formatted(prefix, i + 1, parts));
                write(path, metadata, tensors.subList(tensors.size() * i / parts, tensors.size() * (i + 1) / parts));
                paths.add(path);
            }
        }
        return paths;
    }

    /** Values as {@link GgufFile} gives them. */
    public static void write(Path path, Map<String, Object> metadata, List<WeightTensor> tensors) throws IOException {
        GgufEdit edit = new GgufEdit();
        edit.out.writeBytes("GGUF".getBytes(StandardCharsets.US_ASCII));
        edit.i32(3);
        edit.i64(tensors.size());
        edit.i64(metadata.size());
        metadata.forEach((key, value) -> {
            edit.text(key);
            edit.value(value);
        });
        long offset = 0;
        for (WeightTensor tensor : tensors) {
            edit.text(tensor.name());
            edit.i32(tensor.shape().length);
            for (int i = tensor.shape().length - 1; i >= 0; i--) {
                edit.i64(tensor.shape()[i]);
            }
            Integer type = TYPES.get(tensor.dtype());
            if (type == null) {
                throw new IllegalArgumentException("no number for " + tensor.dtype());
            }
            edit.i32(type);
            edit.i64(offset);
            offset += padded(tensor.data().byteSize());
        }
        edit.pad();
        for (WeightTensor tensor : tensors) {
            edit.out.writeBytes(tensor.data().toArray(ValueLayout.JAVA_BYTE));
            edit.pad();
        }
        Files.write(path, edit.out.toByteArray());
    }

    private void value(Object value) {
        switch (value) {
            case Long n -> {
                i32(11);
                i64(n);
            }
            case Double d -> {
                i32(12);
                i64(Double.doubleToRawLongBits(d));
            }
            case Boolean b -> {
                i32(7);
                out.write(b ? 1 : 0);
            }
            case String s -> {
                i32(8);
                text(s);
            }
            case List<?> list -> {
                array(8, list.size());
                list.forEach(item -> text(item.toString()));
            }
            case long[] list -> {
                array(11, list.length);
                for (long n : list) {
                    i64(n);
                }
            }
            case float[] list -> {
                array(6, list.length);
                for (float f : list) {
                    i32(Float.floatToRawIntBits(f));
                }
            }
            default -> throw new IllegalArgumentException(value.getClass().getName());
        }
    }

    private void array(int type, int length) {
        i32(9);
        i32(type);
        i64(length);
    }

    private void text(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        i64(bytes.length);
        out.writeBytes(bytes);
    }

    private void i32(int value) {
        out.writeBytes(ByteBuffer.allocate(4)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(value)
                .array());
    }

    private void i64(long value) {
        out.writeBytes(ByteBuffer.allocate(8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(value)
                .array());
    }

    private void pad() {
        try {
            out.write(new byte[(int) (padded(out.size()) - out.size())]);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static long padded(long size) {
        return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
}
