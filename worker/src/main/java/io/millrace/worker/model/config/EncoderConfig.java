package io.millrace.worker.model.config;

import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A bidirectional encoder with norms after each sublayer (BERT and its kin), described by options. Immutable, validated.
 *
 * @param architecture as messages name it, for example {@code bert}
 * @param origin the file this was read from, for messages
 * @param naming how the checkpoint names its tensors
 * @param intermediateSize width of the MLP
 * @param vocabularySize rows of the embedding; 0: the embedding decides
 * @param contextLength tokens of the longest input
 * @param positionOffset rows of the position table before that of the first token (RoBERTa: 2)
 * @param types rows of the table of segments; 0: there is none
 * @param gated the MLP is {@code down(f(gate) · up)} instead of {@code down(f(up))}
 * @param rope null: positions are a table
 * @param head what stands after the pooled row
 * @param sigmoid a score is the sigmoid of the head's logit
 */
public record EncoderConfig(
        String architecture,
        String origin,
        Naming naming,
        int hiddenSize,
        int intermediateSize,
        int layers,
        int heads,
        int vocabularySize,
        int contextLength,
        int positionOffset,
        int types,
        float normEps,
        Function activation,
        boolean gated,
        @Nullable Rope rope,
        Head head,
        boolean sigmoid) {

    /** Tensor names of a kind of checkpoint. */
    public enum Naming {
        /** Hugging Face's BERT and RoBERTa. */
        BERT,
        /** Nomic's own, {@code Wqkv} and {@code fc11}. */
        NOMIC,
        GGUF
    }

    /** Of the MLP. */
    public enum Function {
        GELU,
        GELU_TANH,
        RELU,
        SILU
    }

    /** What makes a score of the first row. */
    public enum Head {
        /** Nothing: the row is an embedding. */
        NONE,
        /** BERT: pooler, tanh, classifier. */
        POOLER,
        /** RoBERTa: dense, tanh, projection. */
        DENSE
    }

    /** Whether a {@code config.json} describes an encoder. Malformed JSON does not. */
    public static boolean isEncoder(String json) {
        return EncoderJson.isEncoder(json);
    }

    /** Whether GGUF metadata describes an encoder. */
    public static boolean isEncoder(Map<String, Object> metadata) {
        return EncoderGguf.ARCHITECTURES.contains(String.valueOf(metadata.get("general.architecture")));
    }

    /**
     * Reads a {@code config.json}.
     *
     * @throws io.millrace.shared.error.MillraceException MR-MODEL-001 another architecture, MR-MODEL-002 a key is missing or
     *     wrong, MR-MODEL-004 an option that is not supported
     */
    public static EncoderConfig fromJson(String origin, String json) {
        return new EncoderJson(origin, json).read();
    }

    /** Reads the metadata of a GGUF file. Errors as of {@link #fromJson}. */
    public static EncoderConfig fromGguf(String origin, Map<String, Object> metadata) {
        return new EncoderGguf(origin, metadata).read();
    }
}
