package io.millrace.worker.model.config;

import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A decoder-only transformer, described by options instead of a class per family. Immutable, validated: every size is positive,
 * heads divide into groups, lists have one entry per layer.
 *
 * @param architecture as messages name it, for example {@code llama}
 * @param origin the file this was read from, for messages
 * @param naming how the checkpoint names its tensors
 * @param intermediateSize width of the MLP
 * @param headDim K and V values of a head
 * @param vocabularySize rows of the embedding; 0: the file does not say, the embedding decides
 * @param contextLength tokens the model can attend to
 * @param windows one entry per layer: sliding window in tokens (a token sees itself and the window - 1 before it), 0: all
 * @param biases which linear layers have one
 * @param tiedEmbeddings the output matrix is the embedding
 * @param experts null: a dense MLP
 * @param latent null: ordinary attention
 */
public record DecoderConfig(
        String architecture,
        String origin,
        Naming naming,
        int hiddenSize,
        int intermediateSize,
        int layers,
        int heads,
        int kvHeads,
        int headDim,
        int vocabularySize,
        int contextLength,
        Norm norm,
        float normEps,
        QkNorm qkNorm,
        Activation activation,
        Rope rope,
        List<Integer> windows,
        Biases biases,
        SoftCaps softCaps,
        Multipliers multipliers,
        boolean tiedEmbeddings,
        @Nullable Experts experts,
        @Nullable Latent latent) {

    /** Tensor names of Hugging Face checkpoints, or of GGUF files. */
    public enum Naming {
        HUGGING_FACE,
        GGUF
    }

    /** Where norms stand and what they multiply by. */
    public enum Norm {
        /** x / rms · w before attention and MLP. */
        RMS,
        /** x / rms · (1 + w), before and after (Gemma). */
        RMS_UNIT_OFFSET,
        /** After attention and MLP only (OLMo 2). */
        RMS_POST
    }

    /** Whether queries and keys are normalised. */
    public enum QkNorm {
        NONE,
        PER_HEAD,
        WHOLE
    }

    /** Of the gated MLP. */
    public enum Activation {
        SILU,
        GELU_TANH
    }

    /** Which linear layers have a bias. */
    public record Biases(boolean qkv, boolean attentionOutput, boolean mlp) {}

    /** tanh(x / cap) · cap; 0 is off. */
    public record SoftCaps(float attention, float logits) {}

    /**
     * Factors; 1 is off.
     *
     * @param attention what scores are multiplied by, usually 1/√headDim
     * @param logits what logits are multiplied by
     */
    public record Multipliers(float embedding, float attention, float residual, float logits) {}

    /** Routed experts. */
    public record Experts(
            int count,
            int active,
            int intermediateSize,
            int sharedIntermediateSize,
            boolean renormalise,
            List<Boolean> denseLayers) {}

    /** Latent attention (DeepSeek): ranks of the compressed query (0: none) and KV, and the parts of a head. */
    public record Latent(int queryRank, int kvRank, int nopeDim, int ropeDim, int valueDim) {}

    /**
     * Reads a {@code config.json}, in its classic form or the newer one with {@code rope_parameters}.
     *
     * @param origin the file, for messages
     * @throws io.millrace.shared.error.MillraceException MR-MODEL-001 another architecture, MR-MODEL-002 a key is missing or
     *     wrong, MR-MODEL-004 an option that is not supported
     */
    public static DecoderConfig fromJson(String origin, String json) {
        return new JsonConfig(origin, json).read();
    }

    /** Reads the metadata of a GGUF file; values as {@code worker.model.gguf} gives them. Errors as {@link #fromJson}. */
    public static DecoderConfig fromGguf(String origin, Map<String, Object> metadata) {
        return new GgufConfig(origin, metadata).read();
    }

    /** Query heads that share a KV head. */
    public int groupSize() {
        return heads / kvHeads;
    }
}
