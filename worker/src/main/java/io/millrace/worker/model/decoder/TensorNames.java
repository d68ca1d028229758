package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig.Naming;

/** Names of a slot's tensor in checkpoints. Slots are named after the Hugging Face form, without prefixes. */
final class TensorNames {

    private final Naming naming;

    TensorNames(Naming naming) {
        this.naming = naming;
    }

    String embedding() {
        return naming == Naming.GGUF ? "token_embd.weight" : "model.embed_tokens.weight";
    }

    String finalNorm() {
        return naming == Naming.GGUF ? "output_norm.weight" : "model.norm.weight";
    }

    String output() {
        return naming == Naming.GGUF ? "output.weight" : "lm_head.weight";
    }

    /** Divisors of the rotary frequencies; only GGUF files have such a tensor. */
    String ropeFactors() {
        return "rope_freqs.weight";
    }

    /**
     * A layer's tensor.
     *
     * @param part for example {@code self_attn.q_proj}
     * @param kind {@code weight} or {@code bias}
     */
    String layer(int layer, String part, String kind) {
        if (naming == Naming.HUGGING_FACE) {
            return "model.layers." + layer + "." + part + "." + kind;
        }
        String own = switch (part) {
            case "input_layernorm" -> "attn_norm";
            case "self_attn.q_proj" -> "attn_q";
            case "self_attn.k_proj" -> "attn_k";
            case "self_attn.v_proj" -> "attn_v";
            case "self_attn.o_proj" -> "attn_output";
            case "post_attention_layernorm" -> "ffn_norm";
            case "mlp.gate_proj" -> "ffn_gate";
            case "mlp.up_proj" -> "ffn_up";
            case "mlp.down_proj" -> "ffn_down";
            default -> throw new IllegalArgumentException(part);
        };
        return "blk." + layer + "." + own + "." + kind;
    }
}
