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
 * @param intermediateSize width of the MLP, where a layer has no experts
 * @param headDim query and key values of a head
 * @param vocabularySize rows of the embedding; 0: the file does not say, the embedding decides
 * @param contextLength tokens the model can attend to
 * @param ropes the rotations that layers choose from
 * @param layerKinds one entry per layer
 * @param biases which linear layers have one
 * @param tiedEmbeddings the output matrix is the embedding
 * @param experts null: no layer has experts
 * @param latent null: ordinary attention
 */
public record DecoderConfig(
        String architecture,
        String origin,
        Naming naming,
        int hiddenSize,
        int intermediateSize,
        int heads,
        int kvHeads,
        int headDim,
        int vocabularySize,
        int contextLength,
        Norms norms,
        QkNorm qkNorm,
        Activation activation,
        List<Rope> ropes,
        List<LayerKind> layerKinds,
        Biases biases,
        SoftCaps softCaps,
        Multipliers multipliers,
        boolean tiedEmbeddings,
        @Nullable Experts experts,
        @Nullable Latent latent) {

    public DecoderConfig {
        ropes = List.copyOf(ropes);
        layerKinds = List.copyOf(layerKinds);
    }

    /** Tensor names of Hugging Face checkpoints, or of GGUF files. */
    public enum Naming {
        HUGGING_FACE,
        GGUF
    }

    /**
     * Root-mean-square norms: x / rms · (offset + w).
     *
     * @param offset 1 where a checkpoint stores w - 1 (Gemma)
     */
    public record Norms(Placement placement, float eps, float offset) {}

    /** Where norms stand, relative to attention and MLP. */
    public enum Placement {
        BEFORE,
        /** Gemma 2 and 3. */
        BEFORE_AND_AFTER,
        /** OLMo 2. */
        AFTER
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

    /**
     * In what layers differ.
     *
     * @param window sliding window in tokens (a token sees itself and the window - 1 before it), 0: all
     * @param rope index into {@link DecoderConfig#ropes}; {@link #NO_ROPE}: positions do not matter
     * @param experts whether the MLP is a choice of experts
     */
    public record LayerKind(int window, int rope, boolean experts) {

        public static final int NO_ROPE = -1;
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

    /**
     * Routed experts.
     *
     * @param active experts a token is given to
     * @param sharedIntermediateSize width of the MLP that every token goes through besides; 0: none
     * @param sharedGate whether a sigmoid weighs the shared MLP
     * @param renormalise the weights of the chosen are made to add up to 1
     * @param scale the weights are multiplied by it
     * @param groups equal runs of experts, of which a token may use {@code keptGroups}; 1: no groups
     */
    public record Experts(
            int count,
            int active,
            int intermediateSize,
            int sharedIntermediateSize,
            boolean sharedGate,
            boolean renormalise,
            float scale,
            int groups,
            int keptGroups) {}

    /** Latent attention (DeepSeek): ranks of the compressed query (0: none) and KV, and the parts of a head. */
    public record Latent(int queryRank, int kvRank, int nopeDim, int ropeDim, int valueDim) {}

    /** What a layer keeps of a token: for each head K and V values. */
    public record CacheShape(int heads, int keyDim, int valueDim) {

        /** Values of a token. */
        public int values() {
            return heads * (keyDim + valueDim);
        }
    }

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

    public int layers() {
        return layerKinds.size();
    }

    /** Query heads that share a KV head. */
    public int groupSize() {
        return heads / kvHeads;
    }

    /** With latent attention the latent as K and the shared key part as V, once for all heads. */
    public CacheShape cache() {
        return latent == null
                ? new CacheShape(kvHeads, headDim, headDim)
                : new CacheShape(1, latent.kvRank(), latent.ropeDim());
    }
}
