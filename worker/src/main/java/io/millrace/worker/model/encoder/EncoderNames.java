package io.millrace.worker.model.encoder;

import io.millrace.worker.model.config.EncoderConfig.Naming;
import io.millrace.worker.model.weights.WeightSource;
import java.util.List;

/**
 * Names of an encoder's tensors in checkpoints, without {@code .weight} and {@code .bias}. Slots are named after Hugging Face's BERT,
 * shortened.
 */
final class EncoderNames {

    private static final List<String> PREFIXES = List.of("bert.", "roberta.", "model.", "");

    private final Naming naming;
    private final String prefix;

    EncoderNames(Naming naming, WeightSource source) {
        this.naming = naming;
        this.prefix = PREFIXES.stream()
                .filter(p -> source.has(p + "embeddings.word_embeddings.weight"))
                .findFirst()
                .orElse("");
    }

    String words() {
        return naming == Naming.GGUF ? "token_embd" : prefix + "embeddings.word_embeddings";
    }

    String positions() {
        return naming == Naming.GGUF ? "position_embd" : prefix + "embeddings.position_embeddings";
    }

    String types() {
        return naming == Naming.GGUF ? "token_types" : prefix + "embeddings.token_type_embeddings";
    }

    String norm() {
        return switch (naming) {
            case GGUF -> "token_embd_norm";
            case NOMIC -> prefix + "emb_ln";
            case BERT -> prefix + "embeddings.LayerNorm";
        };
    }

    String pooler() {
        return naming == Naming.GGUF ? "cls" : prefix + "pooler.dense";
    }

    /** @param projection of RoBERTa's two, the second */
    String classifier(boolean dense, boolean projection) {
        if (naming == Naming.GGUF) {
            return projection ? "cls.output" : "cls";
        }
        if (!dense) {
            return "classifier";
        }
        return projection ? "classifier.out_proj" : "classifier.dense";
    }

    /**
     * A layer's tensor.
     *
     * @param part q, k, v, qkv, attention, attention_norm, up, gate, down or norm
     */
    String layer(int layer, String part) {
        return switch (naming) {
            case GGUF -> "blk." + layer + "." + gguf(part);
            case NOMIC -> prefix + "encoder.layers." + layer + "." + nomic(part);
            case BERT -> prefix + "encoder.layer." + layer + "." + bert(part);
        };
    }

    private static String gguf(String part) {
        return switch (part) {
            case "q", "k", "v", "qkv" -> "attn_" + part;
            case "attention" -> "attn_output";
            case "attention_norm" -> "attn_output_norm";
            case "up", "gate", "down" -> "ffn_" + part;
            case "norm" -> "layer_output_norm";
            default -> throw new IllegalArgumentException(part);
        };
    }

    private static String nomic(String part) {
        return switch (part) {
            case "q", "k", "v" -> "attn.W" + part;
            case "qkv" -> "attn.Wqkv";
            case "attention" -> "attn.out_proj";
            case "attention_norm" -> "norm1";
            case "up" -> "mlp.fc11";
            case "gate" -> "mlp.fc12";
            case "down" -> "mlp.fc2";
            case "norm" -> "norm2";
            default -> throw new IllegalArgumentException(part);
        };
    }

    private static String bert(String part) {
        return switch (part) {
            case "q" -> "attention.self.query";
            case "k" -> "attention.self.key";
            case "v" -> "attention.self.value";
            case "qkv" -> "attention.self.qkv";
            case "attention" -> "attention.output.dense";
            case "attention_norm" -> "attention.output.LayerNorm";
            case "up" -> "intermediate.dense";
            case "gate" -> "intermediate.gate";
            case "down" -> "output.dense";
            case "norm" -> "output.LayerNorm";
            default -> throw new IllegalArgumentException(part);
        };
    }
}
