package io.millrace.worker.backend.check;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.PackedCorner;
import io.millrace.worker.model.weights.PackedWeight;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * A small model out of a large one: the ops that the large one needs, on weights that are stored as its own are, and are made of its own bytes. Of each
 * kind of layer, and each type that weights of layers have, there is one, up to {@value #LAYERS} layers. Closes nothing.
 */
final class SmallModel implements WeightSource {

    private static final int LAYERS = 4;
    private static final Pattern LAYER = Pattern.compile("(?<=^|\\.)(layers|blk)\\.(\\d+)\\.");

    private final WeightSource large;
    private final List<Integer> kept;
    private final Map<String, long[]> shapes = new HashMap<>();
    private final DecoderConfig config;

    private SmallModel(Decoder decoder, WeightSource large, int width) {
        this.large = large;
        this.kept = layers(decoder, large);
        this.config = SmallConfig.of(decoder.config(), decoder.vocabularySize(), kept, width);
        for (WeightSlot slot : Decoder.wanted(config, this).values()) {
            shapes.put(
                    slot.tensor(),
                    slot.rows().stored().stream().mapToLong(Integer::longValue).toArray());
        }
    }

    /** @param width as of {@link SmallConfig} */
    static SmallModel of(Decoder decoder, WeightSource large, int width) {
        return new SmallModel(decoder, large, width);
    }

    /** Its program, over itself. */
    Decoder decoder() {
        return Decoder.of(config, this);
    }

    /** Layers that bring a kind or a type that those before have not got. */
    private static List<Integer> layers(Decoder decoder, WeightSource large) {
        Map<Integer, Set<Object>> brings = new HashMap<>();
        for (WeightSlot slot : decoder.slots().values()) {
            Matcher layer = LAYER.matcher(slot.tensor());
            if (layer.find()) {
                brings.computeIfAbsent(Integer.parseInt(layer.group(2)), l -> new HashSet<>())
                        .add(type(large.tensor(slot.tensor())));
            }
        }
        Set<Object> seen = new HashSet<>();
        List<Integer> layers = new ArrayList<>();
        for (int layer = 0; layer < decoder.config().layers() && layers.size() < LAYERS; layer++) {
            Set<Object> own = brings.getOrDefault(layer, new HashSet<>());
            own.add(decoder.config().layerKinds().get(layer));
            if (seen.addAll(own)) {
                layers.add(layer);
            }
        }
        return layers;
    }

    private static Object type(WeightTensor tensor) {
        PackedWeight packed = tensor.packed();
        return packed == null ? tensor.dtype() : packed.format();
    }

    /** The large model's name of what is a name here. */
    private String original(String name) {
        Matcher layer = LAYER.matcher(name);
        if (!layer.find()) {
            return name;
        }
        int here = Integer.parseInt(layer.group(2));
        return here >= kept.size()
                ? name
                : name.substring(0, layer.start(2)) + kept.get(here) + name.substring(layer.end(2));
    }

    @Override
    public Set<String> names() {
        return shapes.keySet();
    }

    @Override
    public boolean has(String name) {
        return large.has(original(name));
    }

    @Override
    public WeightTensor tensor(String name) {
        WeightTensor whole = large.tensor(original(name));
        long @Nullable [] shape = shapes.get(name);
        if (shape == null || Arrays.equals(shape, whole.shape())) {
            return whole;
        }
        PackedWeight packed = whole.packed();
        if (packed != null) {
            int columns = Math.toIntExact(whole.shape()[1]);
            return WeightTensor.packed(
                    name,
                    shape,
                    whole.data(),
                    whole.file(),
                    new PackedCorner(packed, Math.toIntExact(shape[1]), columns));
        }
        return whole.of(whole.dtype(), shape, middle(whole, shape));
    }

    /** As many blocks as it takes from the middle of the tensor: they are as good as any, and one piece of the file. */
    private static MemorySegment middle(WeightTensor whole, long[] shape) {
        long bytes = whole.dtype().bytes(Arrays.stream(shape).reduce(1, Math::multiplyExact));
        int block = whole.dtype().blockBytes();
        long blocks = (whole.data().byteSize() - bytes) / block;
        return whole.data().asSlice(blocks / 2 * block, bytes);
    }

    /** Of no use to anybody here: nothing is kept of a small model. */
    @Override
    public long hash() {
        return large.hash();
    }

    @Override
    public void close() {}
}
