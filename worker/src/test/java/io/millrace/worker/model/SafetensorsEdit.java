package io.millrace.worker.model;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/** A safetensors file to be changed and written as a sound container. */
public final class SafetensorsEdit {

    /** A tensor as the file keeps it. */
    public record Stored(String dtype, long[] shape, byte[] bytes) {}

    private final Map<String, Stored> tensors = new LinkedHashMap<>();

    private SafetensorsEdit() {}

    public static SafetensorsEdit of(Path file) throws IOException {
        SafetensorsEdit edit = new SafetensorsEdit();
        byte[] raw = Files.readAllBytes(file);
        int length = (int) ByteBuffer.wrap(raw).order(ByteOrder.LITTLE_ENDIAN).getLong();
        JsonNode header = JsonMapper.shared().readTree(new String(raw, 8, length, StandardCharsets.UTF_8));
        for (Map.Entry<String, JsonNode> entry : header.properties()) {
            JsonNode tensor = entry.getValue();
            if (tensor.has("dtype")) {
                long[] shape = tensor.get("shape").values().stream()
                        .mapToLong(JsonNode::longValue)
                        .toArray();
                int from = 8 + length + tensor.get("data_offsets").get(0).intValue();
                int to = 8 + length + tensor.get("data_offsets").get(1).intValue();
                edit.tensors.put(
                        entry.getKey(),
                        new Stored(tensor.get("dtype").asString(), shape, Arrays.copyOfRange(raw, from, to)));
            }
        }
        return edit;
    }

    public Map<String, Stored> tensors() {
        return tensors;
    }

    public Stored get(String name) {
        return Objects.requireNonNull(tensors.get(name), name);
    }

    /** Half the rows. */
    public SafetensorsEdit halve(String name) {
        Stored old = get(name);
        long[] shape = old.shape().clone();
        shape[0] = Math.max(1, shape[0] / 2);
        int bytes = (int) (old.bytes().length / old.shape()[0] * shape[0]);
        tensors.put(name, new Stored(old.dtype(), shape, Arrays.copyOf(old.bytes(), bytes)));
        return this;
    }

    /** Other bytes of the same number. */
    public SafetensorsEdit bytes(String name, byte[] bytes) {
        Stored old = get(name);
        tensors.put(name, new Stored(old.dtype(), old.shape(), bytes));
        return this;
    }

    public SafetensorsEdit put(String name, String dtype, long[] shape, byte[] bytes) {
        tensors.put(name, new Stored(dtype, shape, bytes));
        return this;
    }

    public void write(Path file) throws IOException {
        ObjectNode header = JsonMapper.shared().createObjectNode();
        int at = 0;
        for (Map.Entry<String, Stored> entry : tensors.entrySet()) {
            Stored tensor = entry.getValue();
            ObjectNode node = header.putObject(entry.getKey()).put("dtype", tensor.dtype());
            Arrays.stream(tensor.shape()).forEach(node.putArray("shape")::add);
            node.putArray("data_offsets").add(at).add(at + tensor.bytes().length);
            at += tensor.bytes().length;
        }
        byte[] json = header.toString().getBytes(StandardCharsets.UTF_8);
        ByteBuffer out = ByteBuffer.allocate(8 + json.length + at).order(ByteOrder.LITTLE_ENDIAN);
        out.putLong(json.length).put(json);
        tensors.values().forEach(tensor -> out.put(tensor.bytes()));
        Files.write(file, out.array());
    }
}
