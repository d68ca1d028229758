package io.millrace.worker.text.gguf;

import io.millrace.worker.text.Golden;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads the key-value part of a sound GGUF file (version 3): just enough for vocabularies. */
final class GgufMetadata {

    private static final int STRING = 8;
    private static final int ARRAY = 9;

    private final ByteBuffer file;

    private GgufMetadata(ByteBuffer file) {
        this.file = file;
    }

    static Map<String, Object> read(String golden) throws IOException {
        ByteBuffer file =
                ByteBuffer.wrap(Files.readAllBytes(Golden.path(golden))).order(ByteOrder.LITTLE_ENDIAN);
        file.position(16);
        long count = file.getLong();
        GgufMetadata reader = new GgufMetadata(file);
        Map<String, Object> metadata = new LinkedHashMap<>();
        for (long i = 0; i < count; i++) {
            String key = reader.string();
            metadata.put(key, reader.value(file.getInt()));
        }
        return metadata;
    }

    private String string() {
        byte[] bytes = new byte[(int) file.getLong()];
        file.get(bytes);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    private Object value(int type) {
        return switch (type) {
            case 0, 1 -> file.get();
            case 2, 3 -> file.getShort();
            case 4, 5 -> file.getInt();
            case 6 -> file.getFloat();
            case 7 -> file.get() != 0;
            case STRING -> string();
            case ARRAY -> array();
            case 10, 11 -> file.getLong();
            case 12 -> file.getDouble();
            default -> throw new IllegalArgumentException("type " + type);
        };
    }

    private List<Object> array() {
        int type = file.getInt();
        long count = file.getLong();
        List<Object> values = new ArrayList<>();
        for (long i = 0; i < count; i++) {
            values.add(value(type));
        }
        return values;
    }
}
