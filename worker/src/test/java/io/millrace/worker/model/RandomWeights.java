package io.millrace.worker.model;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.weights.DType;
import io.millrace.worker.model.weights.WeightTensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;

/**
 * Weights of a Llama model that no file holds: matrices in bf16 of small random values, all of them windows on the same memory, which is as large as the largest; norms
 * are ones. What a model of that shape costs they show as well as its own.
 */
public final class RandomWeights extends ShapedWeights {

    /** Values that are drawn; a prime, so that no two rows of a matrix are equal. */
    private static final int DRAWN = 1_048_573;

    private final Arena arena = Arena.ofShared();
    private final MemorySegment noise;
    private final MemorySegment ones;

    /** @param config with names as on the Hugging Face hub, without biases and experts */
    public RandomWeights(DecoderConfig config) {
        long hidden = config.hiddenSize();
        long queries = (long) config.heads() * config.headDim();
        long keys = (long) config.kvHeads() * config.headDim();
        long wide = config.intermediateSize();
        add("model.embed_tokens", config.vocabularySize(), hidden);
        for (int i = 0; i < config.layers(); i++) {
            String layer = "model.layers." + i + ".";
            add(layer + "input_layernorm", hidden);
            add(layer + "self_attn.q_proj", queries, hidden);
            add(layer + "self_attn.k_proj", keys, hidden);
            add(layer + "self_attn.v_proj", keys, hidden);
            add(layer + "self_attn.o_proj", hidden, queries);
            add(layer + "post_attention_layernorm", hidden);
            add(layer + "mlp.gate_proj", wide, hidden);
            add(layer + "mlp.up_proj", wide, hidden);
            add(layer + "mlp.down_proj", hidden, wide);
        }
        add("model.norm", hidden);
        if (!config.tiedEmbeddings()) {
            add("lm_head", config.vocabularySize(), hidden);
        }
        long most = shapes.values().stream()
                .filter(shape -> shape.length == 2)
                .mapToLong(shape -> shape[0] * shape[1])
                .max()
                .orElseThrow();
        noise = noise(most);
        ones = arena.allocate(hidden * Float.BYTES, Float.BYTES);
        for (int i = 0; i < hidden; i++) {
            ones.setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
        }
    }

    private void add(String name, long... shape) {
        shapes.put(name + ".weight", shape);
    }

    /** Evenly from -0.05 to 0.05. */
    private MemorySegment noise(long values) {
        MemorySegment all = arena.allocate(values * Short.BYTES, 64);
        SplittableRandom random = new SplittableRandom(1);
        long drawn = Math.min(values, DRAWN);
        for (long i = 0; i < drawn; i++) {
            float value = (float) random.nextDouble(-0.05, 0.05);
            all.setAtIndex(ValueLayout.JAVA_SHORT, i, (short) (Float.floatToRawIntBits(value) >>> 16));
        }
        for (long at = drawn; at < values; at += drawn) {
            long bytes = Math.min(drawn, values - at) * Short.BYTES;
            MemorySegment.copy(all, 0, all, at * Short.BYTES, bytes);
        }
        return all;
    }

    @Override
    public WeightTensor tensor(String name) {
        long[] shape = shape(name);
        if (shape.length == 1) {
            return new WeightTensor(name, DType.F32, shape, ones);
        }
        return new WeightTensor(name, DType.BF16, shape, noise.asSlice(0, shape[0] * shape[1] * Short.BYTES));
    }

    @Override
    public void close() {
        arena.close();
    }
}
