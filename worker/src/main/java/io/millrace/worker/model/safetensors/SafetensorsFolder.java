package io.millrace.worker.model.safetensors;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.weights.FolderFiles;
import io.millrace.worker.model.weights.WeightHash;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Stream;
import tools.jackson.core.JacksonException;
import tools.jackson.core.StreamReadConstraints;
import tools.jackson.core.StreamReadFeature;
import tools.jackson.core.json.JsonFactory;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * The tensors of a folder: by {@code model.safetensors.index.json} over its shards, else {@code model.safetensors}, else the only
 * safetensors file. Thread-safe; tensors are valid until {@link #close}.
 */
public final class SafetensorsFolder implements WeightSource {

    private static final String INDEX = "model.safetensors.index.json";
    private static final long MAX_INDEX_BYTES = 64L << 20;
    private static final int MAX_DEPTH = 16;

    private final Path folder;
    private final Map<String, SafetensorsFile> files;
    private final Map<String, SafetensorsFile> byTensor;

    private SafetensorsFolder(Path folder, Map<String, SafetensorsFile> files, Map<String, SafetensorsFile> byTensor) {
        this.folder = folder;
        this.files = files;
        this.byTensor = byTensor;
    }

    /**
     * Opens a folder, an index file or a single safetensors file.
     *
     * @throws MillraceException MR-ST-001 when there are no weights, -002 to -005 or MR-WEIGHTS-00x when they are not sound
     */
    public static SafetensorsFolder open(Path path) {
        if (!Files.isDirectory(path)) {
            Path parent = path.toAbsolutePath().getParent();
            if (path.toString().endsWith(".index.json") && parent != null) {
                return sharded(parent, path);
            }
            return single(path);
        }
        Path index = path.resolve(INDEX);
        return Files.exists(index) ? sharded(path, index) : single(only(path));
    }

    private static Path only(Path folder) {
        Path usual = folder.resolve("model.safetensors");
        if (Files.exists(usual)) {
            return usual;
        }
        try (Stream<Path> list = Files.list(folder)) {
            List<Path> found =
                    list.filter(f -> f.toString().endsWith(".safetensors")).toList();
            if (found.size() == 1) {
                return found.getFirst();
            }
            throw new MillraceException(
                    "MR-ST-001",
                    folder + " has " + found.size() + " .safetensors files and neither model.safetensors nor " + INDEX
                            + ". Fetch the model again, whole.");
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-ST-001", folder + " cannot be listed: " + e + ". Check its permissions.", e);
        }
    }

    private static SafetensorsFolder single(Path path) {
        SafetensorsFile file = SafetensorsFile.open(path);
        Map<String, SafetensorsFile> byTensor = new LinkedHashMap<>();
        file.names().forEach(n -> byTensor.put(n, file));
        return new SafetensorsFolder(path, Map.of(path.toString(), file), byTensor);
    }

    private static SafetensorsFolder sharded(Path folder, Path index) {
        Map<String, String> weightMap = weightMap(index);
        Map<String, SafetensorsFile> files = new TreeMap<>();
        Map<String, SafetensorsFile> byTensor = new LinkedHashMap<>();
        try {
            weightMap.forEach((tensor, shard) -> {
                SafetensorsFile file = files.computeIfAbsent(shard, s -> openShard(folder, index, s));
                if (!file.has(tensor)) {
                    throw damaged(
                            index, "it says that tensor " + tensor + " is in " + shard + ", which does not hold it");
                }
                byTensor.put(tensor, file);
            });
            return new SafetensorsFolder(folder, files, byTensor);
        } catch (MillraceException e) {
            files.values().forEach(SafetensorsFile::close);
            throw e;
        }
    }

    private static SafetensorsFile openShard(Path folder, Path index, String shard) {
        boolean plain = !shard.isEmpty()
                && !shard.contains("/")
                && !shard.contains("\\")
                && !shard.contains("\0")
                && !shard.equals(".")
                && !shard.equals("..")
                && !shard.contains(":");
        if (!plain) {
            throw damaged(index, "it names " + shard + ", which is no file of this folder; it was not opened");
        }
        Path path = folder.resolve(shard);
        if (!Files.exists(path)) {
            throw damaged(index, "it names " + shard + ", which is not there");
        }
        FolderFiles.checkInside(path);
        return SafetensorsFile.open(path);
    }

    private static Map<String, String> weightMap(Path index) {
        JsonMapper mapper = JsonMapper.builder(JsonFactory.builder()
                        .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                        .streamReadConstraints(StreamReadConstraints.builder()
                                .maxNestingDepth(MAX_DEPTH)
                                .build())
                        .build())
                .build();
        JsonNode map;
        try {
            if (Files.size(index) > MAX_INDEX_BYTES) {
                throw damaged(index, "it has " + Files.size(index) + " bytes, more than " + MAX_INDEX_BYTES);
            }
            map = mapper.readTree(Files.readString(index, StandardCharsets.UTF_8))
                    .path("weight_map");
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-ST-005", index + " cannot be read: " + e + ". Check its permissions and that it is UTF-8.", e);
        } catch (JacksonException e) {
            throw damaged(index, "it is not sound JSON: " + e.getOriginalMessage());
        }
        if (!map.isObject() || map.isEmpty()) {
            throw damaged(index, "it has no weight_map");
        }
        Map<String, String> weightMap = new LinkedHashMap<>();
        for (Map.Entry<String, JsonNode> entry : map.properties()) {
            if (!entry.getValue().isString()) {
                throw damaged(index, "the file of tensor " + entry.getKey() + " is not a string");
            }
            weightMap.put(entry.getKey(), entry.getValue().asString());
        }
        return weightMap;
    }

    private static MillraceException damaged(Path index, String what) {
        return new MillraceException(
                "MR-ST-005", index + " is not a sound index: " + what + ". Fetch the model again, whole.");
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(byTensor.keySet());
    }

    @Override
    public boolean has(String name) {
        return byTensor.containsKey(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        SafetensorsFile file = byTensor.get(name);
        if (file == null) {
            throw SafetensorsFile.missing(folder, name, byTensor.size());
        }
        return file.tensor(name);
    }

    @Override
    public long hash() {
        return WeightHash.of(this);
    }

    @Override
    public void close() {
        files.values().forEach(SafetensorsFile::close);
    }
}
