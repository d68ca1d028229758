package io.millrace.worker.model.config;

import io.millrace.worker.model.config.DecoderConfig.LayerKind;
import io.millrace.worker.model.config.Family.Trait;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/** In what the layers of a {@code config.json} differ: windows, frequencies, experts. */
final class JsonLayers {

    /** Of SmolLM3, where neither list nor distance is given; GGUF files give neither. */
    static final int NO_ROPE_INTERVAL = 4;

    private final Family family;
    private final JsonFields text;
    private final int layers;

    JsonLayers(Family family, JsonFields text) {
        this.family = family;
        this.text = text;
        this.layers = text.size("num_hidden_layers", ConfigErrors.MAX_LAYERS);
    }

    static String expertCountKey(Family family) {
        return switch (family) {
            case MIXTRAL -> "num_local_experts";
            case DEEPSEEK2 -> "n_routed_experts";
            default -> "num_experts";
        };
    }

    List<LayerKind> kinds() {
        boolean[] windowed = windowed();
        int window = window();
        boolean[] experts = experts();
        boolean[] turned = turned();
        List<LayerKind> kinds = new ArrayList<>();
        for (int i = 0; i < layers; i++) {
            boolean local = windowed[i];
            int table = local && family.is(Trait.LOCAL_ROPE) ? 1 : 0;
            int rope = turned[i] ? table : LayerKind.NO_ROPE;
            kinds.add(new LayerKind(local ? window : 0, rope, experts[i]));
        }
        return kinds;
    }

    /** 0: none. */
    private int window() {
        boolean counts =
                family.is(Trait.WINDOWS) || (family.is(Trait.LATE_WINDOWS) && text.flag("use_sliding_window", false));
        return counts ? text.count("sliding_window", Integer.MAX_VALUE) : 0;
    }

    private boolean[] windowed() {
        JsonNode types = text.node("layer_types");
        boolean[] result = new boolean[layers];
        if (types.isArray()) {
            checkLength("layer_types", types.size());
        }
        for (int i = 0; i < layers; i++) {
            result[i] = types.isArray() ? sliding(types.path(i)) : usually(i);
        }
        return result;
    }

    private boolean sliding(JsonNode type) {
        return switch (type.asString("")) {
            case "sliding_attention" -> true;
            case "full_attention" -> false;
            default ->
                throw text.errors()
                        .unsupported("layer_types", JsonFields.shown(type), "full_attention, sliding_attention");
        };
    }

    /** Which layers have a window when no list says so. */
    private boolean usually(int layer) {
        return switch (family) {
            case GEMMA2 -> layer % 2 == 0;
            case GEMMA3 -> (layer + 1) % text.size("sliding_window_pattern", ConfigErrors.MAX_LAYERS, 6) != 0;
            case SMOLLM3 -> !turned()[layer];
            case QWEN2, QWEN3 -> layer >= text.count("max_window_layers", Integer.MAX_VALUE);
            case QWEN2_MOE -> layer % 2 == 0 && layer < text.count("max_window_layers", Integer.MAX_VALUE);
            default -> true;
        };
    }

    /** Which layers turn queries and keys: a list with 1 for those that do, or the distance between those that do not. */
    private boolean[] turned() {
        boolean[] result = new boolean[layers];
        java.util.Arrays.fill(result, true);
        if (family.is(Trait.LAYERS_WITHOUT_ROPE)) {
            JsonNode list = text.node("no_rope_layers");
            int each = text.size("no_rope_layer_interval", ConfigErrors.MAX_LAYERS, NO_ROPE_INTERVAL);
            if (list.isArray()) {
                checkLength("no_rope_layers", list.size());
            }
            for (int i = 0; i < layers; i++) {
                result[i] = list.isArray() ? list.path(i).asInt(1) != 0 : (i + 1) % each != 0;
            }
        }
        return result;
    }

    private boolean[] experts() {
        boolean[] result = new boolean[layers];
        if (family == Family.MIXTRAL) {
            java.util.Arrays.fill(result, true);
        } else if (family == Family.DEEPSEEK2 && text.has("n_routed_experts")) {
            int first = text.count("first_k_dense_replace", ConfigErrors.MAX_LAYERS);
            int each = text.size("moe_layer_freq", ConfigErrors.MAX_LAYERS, 1);
            for (int i = first; i < layers; i++) {
                result[i] = i % each == 0;
            }
        } else if (family == Family.QWEN2_MOE || family == Family.QWEN3_MOE) {
            Set<Integer> dense = new HashSet<>();
            for (JsonNode node : text.node("mlp_only_layers")) {
                dense.add(node.asInt(-1));
            }
            int each = text.size("decoder_sparse_step", ConfigErrors.MAX_LAYERS, 1);
            for (int i = 0; i < layers; i++) {
                result[i] = !dense.contains(i) && (i + 1) % each == 0;
            }
        }
        return result;
    }

    private void checkLength(String key, int entries) {
        if (entries != layers) {
            throw text.errors().wrong(key, "has " + entries + " entries where num_hidden_layers is " + layers);
        }
    }
}
