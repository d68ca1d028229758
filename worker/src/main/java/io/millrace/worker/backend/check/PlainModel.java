package io.millrace.worker.backend.check;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.Random;
import java.util.Set;

/** A llama of random weights in bf16, for a check where no model is at hand. Holds no file. */
public final class PlainModel implements WeightSource {

    private static final String CONFIG = """
            {"model_type": "llama", "hidden_size": 512, "intermediate_size": 512, "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
             "num_hidden_layers": 2, "vocab_size": 1024, "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
             "hidden_act": "silu", "tie_word_embeddings": false}""";

    private static final float DEVIATION = 0.05f;

    private final DecoderConfig config = DecoderConfig.fromJson("the check's model", CONFIG);
    private final Map<String, WeightTensor> tensors = new HashMap<>();

    public PlainModel() {
        Random random = new Random(17);
        for (WeightSlot slot : Decoder.wanted(config, this).values()) {
            long[] shape = slot.shape().stream().mapToLong(Integer::longValue).toArray();
            int values = Math.toIntExact(slot.elements());
            MemorySegment data = Arena.ofAuto().allocate(2L * values, 64);
            for (int i = 0; i < values; i++) {
                float value = shape.length == 1 ? 1 : (float) random.nextGaussian() * DEVIATION;
                data.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (Float.floatToIntBits(value) >>> 16));
            }
            tensors.put(slot.tensor(), new WeightTensor(slot.tensor(), DType.BF16, shape, data.asReadOnly()));
        }
    }

    public Decoder decoder() {
        return Decoder.of(config, this);
    }

    @Override
    public Set<String> names() {
        return tensors.keySet();
    }

    @Override
    public boolean has(String name) {
        return tensors.containsKey(name);
    }

    @Override
    public WeightTensor tensor(String name) {
        WeightTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new IllegalArgumentException(name);
        }
        return tensor;
    }

    /** Of no file. */
    @Override
    public long hash() {
        return Arrays.hashCode(CONFIG.toCharArray());
    }

    @Override
    public void close() {}
}
