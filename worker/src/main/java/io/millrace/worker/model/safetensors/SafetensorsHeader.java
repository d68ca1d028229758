package io.millrace.worker.model.safetensors;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.core.JsonParser;
import tools.jackson.core.JsonToken;
import tools.jackson.core.ObjectReadContext;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;

/**
 * The header of a safetensors file: 8 bytes of length, then JSON, then the data without holes. Reads it as strictly as the
 * reference implementation: no duplicate keys, overlaps, gaps or trailing bytes.
 */
final class SafetensorsHeader {

    private static final int MAX_HEADER_BYTES = 100_000_000;
    private static final int MAX_DEPTH = 8;
    private static final int MAX_DIMS = 16;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    /** A tensor's place: bytes {@code begin} to {@code end} of the data. */
    record Entry(String name, DType dtype, long[] shape, long begin, long end) {}

    private final Path path;
    private final MemorySegment bytes;
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private long dataStart;

    SafetensorsHeader(Path path, MemorySegment bytes) {
        this.path = path;
        this.bytes = bytes;
    }

    void read() {
        if (bytes.byteSize() < 8) {
            throw damaged("it has " + bytes.byteSize() + " bytes, too few for a header");
        }
        long length = bytes.get(LONG, 0);
        if (length < 0 || length > bytes.byteSize() - 8) {
            throw damaged("its header claims " + Long.toUnsignedString(length) + " bytes, " + (bytes.byteSize() - 8)
                    + " are there");
        }
        if (length > MAX_HEADER_BYTES) {
            throw damaged("its header has " + length + " bytes; at most " + MAX_HEADER_BYTES + " are allowed");
        }
        dataStart = 8 + length;
        parse(text((int) length));
        checkLayout();
    }

    Map<String, Entry> entries() {
        return entries;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    long dataStart() {
        return dataStart;
    }

    private String text(int length) {
        byte[] raw = bytes.asSlice(8, length).toArray(ValueLayout.JAVA_BYTE);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .onMalformedInput(CodingErrorAction.REPORT)
                    .decode(ByteBuffer.wrap(raw))
                    .toString();
        } catch (CharacterCodingException e) {
            throw damaged("its header is not valid UTF-8");
        }
    }

    private void parse(String json) {
        if (!json.startsWith("{")) {
            throw damaged("its header does not begin with {");
        }
        JsonFactory factory = JsonFactory.builder()
                .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                .streamReadConstraints(StreamReadConstraints.builder()
                        .maxNestingDepth(MAX_DEPTH)
                        .build())
                .build();
        try (JsonParser parser = factory.createParser(ObjectReadContext.empty(), json)) {
            expect(parser, parser.nextToken(), JsonToken.START_OBJECT, "the header");
            while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
                String name = parser.currentName();
                if (name.equals("__metadata__")) {
                    metadata(parser);
                } else {
                    entries.put(name, entry(parser, name));
                }
            }
            if (parser.nextToken() != null) {
                throw damaged("something follows the header's JSON object");
            }
        } catch (JacksonException e) {
            throw damaged("its header is not sound JSON: " + e.getOriginalMessage());
        }
    }

    private void metadata(JsonParser parser) {
        expect(parser, parser.nextToken(), JsonToken.START_OBJECT, "__metadata__");
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String key = parser.currentName();
            expect(parser, parser.nextToken(), JsonToken.VALUE_STRING, "__metadata__ entry " + key);
            metadata.put(key, parser.getString());
        }
    }

    private Entry entry(JsonParser parser, String name) {
        String what = "tensor " + name;
        expect(parser, parser.nextToken(), JsonToken.START_OBJECT, what);
        DType dtype = null;
        List<Long> shape = null;
        List<Long> offsets = null;
        while (parser.nextToken() == JsonToken.PROPERTY_NAME) {
            String key = parser.currentName();
            parser.nextToken();
            switch (key) {
                case "dtype" -> {
                    expect(parser, parser.currentToken(), JsonToken.VALUE_STRING, what + ": dtype");
                    dtype = dtype(parser.getString(), what);
                }
                case "shape" -> shape = numbers(parser, what + ": shape", MAX_DIMS);
                case "data_offsets" -> offsets = numbers(parser, what + ": data_offsets", 2);
                default -> throw damaged(what + " has a field " + key + ", which the format does not know");
            }
        }
        if (dtype == null || shape == null || offsets == null || offsets.size() != 2) {
            throw damaged(what + " lacks dtype, shape or two data_offsets");
        }
        long[] dims = shape.stream().mapToLong(Long::longValue).toArray();
        return new Entry(name, dtype, dims, offsets.get(0), offsets.get(1));
    }

    private List<Long> numbers(JsonParser parser, String what, int most) {
        expect(parser, parser.currentToken(), JsonToken.START_ARRAY, what);
        List<Long> numbers = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            expect(parser, parser.currentToken(), JsonToken.VALUE_NUMBER_INT, what);
            long value = parser.getLongValue();
            if (value < 0 || numbers.size() == most) {
                throw damaged(what + (value < 0 ? " holds " + value : " has more than " + most + " numbers"));
            }
            numbers.add(value);
        }
        return numbers;
    }

    private DType dtype(String name, String what) {
        return switch (name) {
            case "F32", "F16", "BF16", "F64", "I8", "U8", "I16", "U16", "I32", "U32", "I64", "U64", "BOOL", "F8_E5M2" ->
                DType.valueOf(name);
            case "F8_E4M3" -> DType.F8_E4M3;
            default ->
                throw new MillraceException(
                        "MR-ST-003",
                        path + ": " + what + " has dtype " + name + ", which is not supported."
                                + " Supported are F32, F16, BF16 and the plain integer types: get the model in one of"
                                + " these.");
        };
    }

    private void expect(JsonParser parser, @Nullable JsonToken actual, JsonToken wanted, String what) {
        if (actual != wanted) {
            throw damaged(what + " is " + actual + " where " + wanted + " must stand, at "
                    + parser.currentLocation().getCharOffset());
        }
    }

    private void checkLayout() {
        long dataSize = bytes.byteSize() - dataStart;
        long at = 0;
        for (Entry entry : entries.values().stream()
                .sorted(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end))
                .toList()) {
            String what = "tensor " + entry.name();
            if (entry.end() < entry.begin() || entry.end() > dataSize) {
                throw damaged(what + " claims bytes " + entry.begin() + " to " + entry.end()
                        + " of the data, which has " + dataSize + ": the file is cut short or its header is wrong");
            }
            if (entry.begin() != at) {
                throw damaged(what + " begins at byte " + entry.begin() + " of the data, "
                        + (entry.begin() < at ? "inside the tensor before it" : "leaving a hole") + " (expected " + at
                        + ")");
            }
            if (size(entry, what) != entry.end() - entry.begin()) {
                throw damaged(what + " of shape and dtype " + entry.dtype() + " needs " + size(entry, what)
                        + " bytes, its range has " + (entry.end() - entry.begin()));
            }
            at = entry.end();
        }
        if (at != dataSize) {
            throw damaged((dataSize - at) + " bytes follow the last tensor");
        }
    }

    private long size(Entry entry, String what) {
        long elements = 1;
        for (long d : entry.shape()) {
            if (d == 0) {
                return 0;
            }
        }
        try {
            for (long d : entry.shape()) {
                elements = Math.multiplyExact(elements, d);
            }
            return entry.dtype().bytes(elements);
        } catch (ArithmeticException e) {
            throw damaged(what + " has a shape whose size overflows 64 bits");
        }
    }

    private MillraceException damaged(String what) {
        return new MillraceException(
                "MR-ST-002", path + " is not a sound safetensors file: " + what + ". Download or convert it again.");
    }
}
