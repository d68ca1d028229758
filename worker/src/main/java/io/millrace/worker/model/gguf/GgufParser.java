package io.millrace.worker.model.gguf;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.math.BigInteger;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Parses a GGUF file, versions 2 and 3, little-endian, after the specification in ggml's {@code docs/gguf.md}. Stricter where
 * the specification is silent: no nested arrays, no duplicate keys or tensors, no overlaps.
 */
final class GgufParser {

    private static final int MAGIC = 0x46554747;
    private static final int MAX_DIMS = 4;
    private static final long DEFAULT_ALIGNMENT = 32;
    /** Length of the key, type of the value, one byte of value. */
    private static final long MIN_ENTRY_BYTES = 13;
    /** Length of the name, number of dimensions, type, offset. */
    private static final long MIN_TENSOR_BYTES = 24;

    private final Path path;
    private final MemorySegment bytes;
    private final GgufCursor in;
    private final Map<String, Object> metadata = new LinkedHashMap<>();
    private final Map<String, WeightTensor> tensors = new LinkedHashMap<>();
    private int version;

    GgufParser(Path path, MemorySegment bytes) {
        this.path = path;
        this.bytes = bytes;
        this.in = new GgufCursor(path, bytes);
    }

    void parse() {
        header();
        int tensorCount = in.count(MIN_TENSOR_BYTES, "the number of tensors");
        int entryCount = in.count(MIN_ENTRY_BYTES, "the number of metadata entries");
        for (int i = 0; i < entryCount; i++) {
            entry();
        }
        List<Info> infos = new ArrayList<>();
        for (int i = 0; i < tensorCount; i++) {
            infos.add(tensorInfo());
        }
        place(infos);
    }

    int version() {
        return version;
    }

    Map<String, Object> metadata() {
        return Collections.unmodifiableMap(metadata);
    }

    Map<String, WeightTensor> tensors() {
        return Collections.unmodifiableMap(tensors);
    }

    private void header() {
        int magic = in.i32("the magic number");
        if (magic != MAGIC) {
            throw in.damaged("it does not begin with \"GGUF\"");
        }
        version = in.i32("the version");
        if (version == 2 || version == 3) {
            return;
        }
        boolean swapped = Integer.reverseBytes(version) == 2 || Integer.reverseBytes(version) == 3;
        throw new MillraceException(
                "MR-GGUF-003",
                path + " is a GGUF file of version " + Integer.toUnsignedString(version)
                        + (swapped ? ", byte-swapped as in a big-endian file" : "")
                        + "; versions 2 and 3, little-endian, can be read. Convert the model again with a current tool.");
    }

    private void entry() {
        String key = in.string("a metadata key");
        if (metadata.containsKey(key)) {
            throw in.damaged("metadata key " + key + " occurs twice");
        }
        int type = in.i32("the type of metadata key " + key);
        Object value = type == 9 ? array(key) : scalar(type, key);
        metadata.put(key, value);
    }

    private Object scalar(int type, String key) {
        String what = "the value of metadata key " + key;
        return switch (type) {
            case 0 -> (long) Byte.toUnsignedInt(in.i8(what));
            case 1 -> (long) in.i8(what);
            case 2 -> (long) Short.toUnsignedInt(in.i16(what));
            case 3 -> (long) in.i16(what);
            case 4 -> Integer.toUnsignedLong(in.i32(what));
            case 5 -> (long) in.i32(what);
            case 6 -> (double) Float.intBitsToFloat(in.i32(what));
            case 7 -> bool(in.i8(what), what);
            case 8 -> in.string(what);
            case 10 -> unsigned(in.i64(what));
            case 11 -> in.i64(what);
            case 12 -> Double.longBitsToDouble(in.i64(what));
            default ->
                throw in.damaged(
                        what + " has type " + Integer.toUnsignedString(type) + ", which the format does not know");
        };
    }

    private static Object unsigned(long bits) {
        return bits >= 0 ? (Object) bits : new BigInteger(Long.toUnsignedString(bits));
    }

    private boolean bool(byte b, String what) {
        if (b != 0 && b != 1) {
            throw in.damaged(what + " is " + b + " where a boolean is 0 or 1");
        }
        return b == 1;
    }

    private Object array(String key) {
        String what = "the array of metadata key " + key;
        int type = in.i32("the element type of " + what);
        if (type == 9) {
            throw in.damaged(what + " holds arrays; nested arrays are not supported");
        }
        int size = elementBytes(type);
        if (size == 0) {
            throw in.damaged(what + " has elements of type " + Integer.toUnsignedString(type)
                    + ", which the format does not know");
        }
        int n = in.count(size, "the length of " + what);
        return switch (type) {
            case 8 -> {
                List<String> list = new ArrayList<>(n);
                for (int i = 0; i < n; i++) {
                    list.add(in.string(what));
                }
                yield Collections.unmodifiableList(list);
            }
            case 6 -> {
                float[] list = new float[n];
                for (int i = 0; i < n; i++) {
                    list[i] = Float.intBitsToFloat(in.i32(what));
                }
                yield list;
            }
            case 12 -> {
                double[] list = new double[n];
                for (int i = 0; i < n; i++) {
                    list[i] = Double.longBitsToDouble(in.i64(what));
                }
                yield list;
            }
            case 7 -> {
                boolean[] list = new boolean[n];
                for (int i = 0; i < n; i++) {
                    list[i] = bool(in.i8(what), what);
                }
                yield list;
            }
            default -> {
                long[] list = new long[n];
                for (int i = 0; i < n; i++) {
                    list[i] = integer(type, what);
                }
                yield list;
            }
        };
    }

    /** Smallest size of an array's element; 0 for a type that is none. */
    private static int elementBytes(int type) {
        return switch (type) {
            case 0, 1, 7 -> 1;
            case 2, 3 -> 2;
            case 4, 5, 6 -> 4;
            case 8, 10, 11, 12 -> 8;
            default -> 0;
        };
    }

    private long integer(int type, String what) {
        return switch (type) {
            case 0 -> Byte.toUnsignedLong(in.i8(what));
            case 1 -> in.i8(what);
            case 2 -> Short.toUnsignedLong(in.i16(what));
            case 3 -> in.i16(what);
            case 4 -> Integer.toUnsignedLong(in.i32(what));
            case 5 -> in.i32(what);
            default -> in.i64(what);
        };
    }

    private record Info(String name, DType dtype, long[] shape, long offset, long size) {

        /** Overflow is excluded: the offset was checked against the file's size. */
        long end() {
            return offset + size;
        }
    }

    private Info tensorInfo() {
        String name = in.string("a tensor name");
        String what = "tensor " + name;
        int dims = in.i32("the number of dimensions of " + what);
        if (dims < 0 || dims > MAX_DIMS) {
            throw in.damaged(what + " has " + Integer.toUnsignedString(dims) + " dimensions; at most " + MAX_DIMS
                    + " are allowed");
        }
        long[] shape = new long[dims];
        for (int i = dims - 1; i >= 0; i--) {
            shape[i] = in.i64("the dimensions of " + what);
        }
        int type = in.i32("the type of " + what);
        long offset = in.i64("the offset of " + what);
        DType dtype = GgufType.dtype(type);
        if (dtype == null) {
            throw new MillraceException(
                    "MR-GGUF-004",
                    path + ": " + what + " has type " + GgufType.describe(type)
                            + ", which is not supported. Supported are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0,"
                            + " Q2_K to Q6_K, IQ4_NL and IQ4_XS: get the model in one of these.");
        }
        return new Info(name, dtype, shape, offset, size(what, dtype, shape));
    }

    private long size(String what, DType dtype, long[] shape) {
        long elements = 1;
        boolean empty = false;
        for (long d : shape) {
            if (d < 0) {
                throw in.damaged(what + " has a dimension of " + Long.toUnsignedString(d));
            }
            empty |= d == 0;
        }
        if (empty) {
            return 0;
        }
        try {
            for (long d : shape) {
                elements = Math.multiplyExact(elements, d);
            }
            long row = shape.length == 0 ? 1 : shape[shape.length - 1];
            if (row % dtype.blockSize() != 0) {
                throw in.damaged(what + " of type " + dtype + " has rows of " + row + " values, not a multiple of "
                        + dtype.blockSize());
            }
            return dtype.bytes(elements);
        } catch (ArithmeticException e) {
            throw in.damaged(what + " has dimensions whose product overflows 64 bits");
        }
    }

    private void place(List<Info> infos) {
        long alignment = alignment();
        long start = in.position() + (alignment - in.position() % alignment) % alignment;
        long dataSize = Math.max(0, bytes.byteSize() - start);
        for (Info info : infos) {
            check(info, alignment, dataSize);
        }
        Info before = null;
        for (Info info : infos.stream()
                .filter(i -> i.size() > 0)
                .sorted(Comparator.comparingLong(Info::offset))
                .toList()) {
            checkApart(before, info);
            before = info;
        }
        for (Info info : infos) {
            MemorySegment data =
                    info.size() == 0 ? bytes.asSlice(0, 0) : bytes.asSlice(start + info.offset(), info.size());
            WeightTensor tensor =
                    new WeightTensor(info.name(), info.dtype(), info.shape(), data, path.toString(), null);
            if (tensors.put(info.name(), tensor) != null) {
                throw in.damaged("two tensors are called " + info.name());
            }
        }
    }

    private void checkApart(@Nullable Info before, Info info) {
        if (before != null && info.offset() < before.end()) {
            throw in.damaged("tensors " + before.name() + " and " + info.name() + " overlap");
        }
    }

    private void check(Info info, long alignment, long dataSize) {
        String what = "tensor " + info.name();
        if (info.offset() < 0 || info.offset() > dataSize || info.size() > dataSize - info.offset()) {
            throw in.damaged(what + " needs " + info.size() + " bytes at offset "
                    + Long.toUnsignedString(info.offset()) + " of the tensor data, which has " + dataSize
                    + " bytes: the file is cut short or the offset is wrong");
        }
        if (info.offset() % alignment != 0) {
            throw in.damaged(
                    what + " is at offset " + info.offset() + ", not a multiple of the alignment " + alignment);
        }
    }

    private long alignment() {
        Object value = metadata.get("general.alignment");
        if (value == null) {
            return DEFAULT_ALIGNMENT;
        }
        if (value instanceof Long n && n > 0 && n <= 1 << 30 && Long.bitCount(n) == 1) {
            return n;
        }
        throw in.damaged("general.alignment is " + value + ", not a power of two");
    }
}
