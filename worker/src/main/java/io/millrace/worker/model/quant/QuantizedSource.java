package io.millrace.worker.model.quant;

import io.millrace.worker.model.safetensors.SafetensorsFolder;
import io.millrace.worker.model.weights.Dequantizer;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * A quantised checkpoint by its logical weights: the parts of a quantised module appear as one {@code ….weight} [out, in], everything
 * else as it is stored. Whether a module is quantised its tensors tell. Thread-safe; tensors are valid until {@link #close}.
 */
public final class QuantizedSource implements WeightSource {

    private static final long MAX_CONFIG_BYTES = 1 << 20;
    private static final long MAX_BIAS = 1 << 24;
    private static final List<String> SPARE = List.of(".k_scale", ".v_scale", ".q_scale", ".prob_output_scale");

    private final WeightSource stored;
    private final Format format;
    private final long configHash;
    private final Map<String, WeightTensor> packed = new LinkedHashMap<>();
    private final Set<String> names = new LinkedHashSet<>();

    private QuantizedSource(WeightSource stored, Format format, long configHash) {
        this.stored = stored;
        this.format = format;
        this.configHash = configHash;
        Set<String> hidden = new LinkedHashSet<>();
        for (String name : stored.names()) {
            String module = module(name);
            if (module == null || hidden.contains(name)) {
                continue;
            }
            Parts parts = new Parts(stored, module);
            if (format.quantised(parts)) {
                WeightTensor weight = format.read(parts);
                packed.put(weight.name(), weight);
                format.parts().forEach(part -> hidden.add(module + "." + part));
            }
        }
        names.addAll(stored.names());
        names.removeAll(hidden);
        names.addAll(packed.keySet());
        names.removeIf(this::isSpare);
    }

    /** What quantisers leave beside the weights and no model needs: scales of a cache, and biases of zeros. */
    private boolean isSpare(String name) {
        if (SPARE.stream().anyMatch(name::endsWith)) {
            return true;
        }
        if (!name.endsWith(".bias") || !packed.containsKey(name.substring(0, name.length() - 4) + "weight")) {
            return false;
        }
        WeightTensor bias = stored.tensor(name);
        if (!Parts.FLOATS.contains(bias.dtype()) || bias.elements() > MAX_BIAS) {
            return false;
        }
        for (float value : Dequantizer.all(bias)) {
            if (value != 0) {
                return false;
            }
        }
        return true;
    }

    /**
     * The weights of a folder with safetensors files, logical ones where it is quantised.
     *
     * @param config text of its {@code config.json}
     * @throws io.millrace.shared.error.MillraceException as of {@link #over} and of {@link SafetensorsFolder#open}
     */
    public static WeightSource open(Path folder, String config) {
        SafetensorsFolder stored = SafetensorsFolder.open(folder);
        try {
            return over(stored, folder.resolve("config.json").toString(), config, separate(folder));
        } catch (RuntimeException e) {
            stored.close();
            throw e;
        }
    }

    private static @Nullable String separate(Path folder) {
        for (String name : new String[] {"quantize_config.json", "quant_config.json"}) {
            Path file = folder.resolve(name);
            try {
                if (Files.isRegularFile(file) && Files.size(file) <= MAX_CONFIG_BYTES) {
                    return Files.readString(file);
                }
            } catch (IOException e) {
                throw new QuantErrors(file.toString()).config("the text", "cannot be read: " + e);
            }
        }
        return null;
    }

    /**
     * The logical weights of a checkpoint; {@code stored} itself when its config says nothing of quantisation.
     *
     * @param origin the config's file, for messages
     * @param config text of {@code config.json}
     * @param separate text of a {@code quantize_config.json} or {@code quant_config.json} that older checkpoints have; null: none
     * @throws io.millrace.shared.error.MillraceException MR-QUANT-001 not supported, -002 the config is wrong, -003 the tensors
     *     are not what it says
     */
    public static WeightSource over(WeightSource stored, String origin, String config, @Nullable String separate) {
        QuantErrors errors = new QuantErrors(origin);
        JsonNode root = root(config, errors);
        JsonNode found = root.path("quantization_config");
        if (!found.isObject()) {
            found = root.path("compression_config");
        }
        if (!found.isObject() && separate != null) {
            found = root(separate, errors);
        }
        if (!found.isObject()) {
            return stored;
        }
        Format format = format(new Settings(found, errors));
        return new QuantizedSource(stored, format, found.toString().hashCode());
    }

    private static JsonNode root(String json, QuantErrors errors) {
        try {
            return JsonMapper.shared().readTree(json);
        } catch (JacksonException e) {
            throw errors.config("the text", "is not valid JSON (" + e.getOriginalMessage() + ")");
        }
    }

    private static Format format(Settings settings) {
        String method = settings.text(guess(settings), "quant_method");
        return switch (method) {
            case "awq" -> WordFormat.awq(settings);
            case "gptq" -> WordFormat.gptq(settings);
            case "bitsandbytes" -> new BitsAndBytesFormat(settings);
            case "compressed-tensors", "compressed_tensors" -> new CompressedFormat(settings);
            case "fp8", "fbgemm_fp8" -> new Fp8Format(settings);
            default -> throw settings.errors().method(method);
        };
    }

    /** Configs of older checkpoints do not name their method. */
    private static String guess(Settings settings) {
        JsonNode root = settings.root();
        if (root.has("config_groups")) {
            return "compressed-tensors";
        }
        if (root.has("load_in_4bit") || root.has("load_in_8bit")) {
            return "bitsandbytes";
        }
        if (root.has("w_bit") || root.has("q_group_size")) {
            return "awq";
        }
        return root.has("bits") && root.has("desc_act") ? "gptq" : "a method that the config does not name";
    }

    /** The module that a stored tensor may be a part of; null: of none. */
    private @Nullable String module(String name) {
        for (String part : format.parts()) {
            if (name.length() > part.length() + 1 && name.endsWith("." + part)) {
                return name.substring(0, name.length() - part.length() - 1);
            }
        }
        return null;
    }

    @Override
    public Set<String> names() {
        return Collections.unmodifiableSet(names);
    }

    /** Spare tensors are there for who asks, though not among the names. */
    @Override
    public boolean has(String name) {
        return names.contains(name) || stored.has(name) && isSpare(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        WeightTensor weight = packed.get(name);
        return weight != null ? weight : stored.tensor(name);
    }

    /** Of the stored tensors, and of what the config says of them. */
    @Override
    public long hash() {
        long hash = 31 * stored.hash() + configHash;
        return hash == 0 ? 1 : hash;
    }

    @Override
    public void close() {
        stored.close();
    }
}
