package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.Naming;
import io.millrace.worker.model.config.DecoderConfig.Placement;
import io.millrace.worker.model.weights.WeightSource;
import java.util.List;

/**
 * Names of a slot's tensor in checkpoints. Slots are named after the Hugging Face form, without prefixes. Where publishers name the
 * same thing differently, all names are given; the checkpoint decides.
 */
final class TensorNames {

    /** Before {@code embed_tokens} and {@code layers}: ordinary models, those that also see (older, newer), bare trunks. */
    private static final List<String> PREFIXES =
            List.of("model.", "language_model.model.", "model.language_model.", "");

    private final boolean gguf;
    private final Placement placement;
    private final String prefix;

    TensorNames(DecoderConfig config, WeightSource source) {
        this.gguf = config.naming() == Naming.GGUF;
        this.placement = config.norms().placement();
        this.prefix = PREFIXES.stream()
                .filter(p -> source.has(p + "embed_tokens.weight"))
                .findFirst()
                .orElse(PREFIXES.getFirst());
    }

    String embedding() {
        return gguf ? "token_embd.weight" : prefix + "embed_tokens.weight";
    }

    String finalNorm() {
        return gguf ? "output_norm.weight" : prefix + "norm.weight";
    }

    List<String> output() {
        return gguf ? List.of("output.weight") : List.of("lm_head.weight", "language_model.lm_head.weight");
    }

    /** What the names of all layers' tensors begin with. */
    String layers() {
        return gguf ? "blk." : prefix + "layers.";
    }

    /** Divisors of the rotary frequencies; only GGUF files have such tensors. */
    String ropeFactors() {
        return "rope_freqs.weight";
    }

    String shortRopeFactors() {
        return "rope_factors_short.weight";
    }

    String longRopeFactors() {
        return "rope_factors_long.weight";
    }

    /**
     * A layer's tensor, by all its names.
     *
     * @param part for example {@code self_attn.q_proj}
     * @param kind {@code weight} or {@code bias}
     */
    List<String> layer(int layer, String part, String kind) {
        String start = layers() + layer + ".";
        List<String> own = gguf ? List.of(gguf(part)) : huggingFace(part);
        return own.stream().map(name -> start + name + "." + kind).toList();
    }

    /**
     * An expert's own tensor, by all its names.
     *
     * @param part {@code gate_proj}, {@code up_proj} or {@code down_proj}
     */
    List<String> expert(int layer, int expert, String part) {
        String start = layers() + layer + ".";
        return gguf
                ? List.of(start + gguf("mlp." + part) + "." + expert + ".weight")
                : List.of(
                        start + "mlp.experts." + expert + "." + part + ".weight",
                        start + "block_sparse_moe.experts." + expert + "." + mixtral(part) + ".weight");
    }

    /** The tensor that holds a part of all experts, as in GGUF files. */
    String stackedExperts(int layer, String part) {
        return layers() + layer + "." + gguf("mlp." + part) + "_exps.weight";
    }

    private static List<String> huggingFace(String part) {
        return switch (part) {
            case "mlp.gate" -> List.of(part, "block_sparse_moe.gate");
            case "mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj", "mlp.shared_expert.down_proj" ->
                List.of(part, part.replace("shared_expert.", "shared_experts."));
            default -> List.of(part);
        };
    }

    private static String mixtral(String part) {
        return switch (part) {
            case "gate_proj" -> "w1";
            case "down_proj" -> "w2";
            default -> "w3";
        };
    }

    private String gguf(String part) {
        return switch (part) {
            case "input_layernorm" -> "attn_norm";
            case "self_attn.q_proj" -> "attn_q";
            case "self_attn.k_proj" -> "attn_k";
            case "self_attn.v_proj" -> "attn_v";
            case "self_attn.qkv_proj" -> "attn_qkv";
            case "self_attn.q_norm" -> "attn_q_norm";
            case "self_attn.k_norm" -> "attn_k_norm";
            case "self_attn.o_proj" -> "attn_output";
            case "self_attn.q_a_proj" -> "attn_q_a";
            case "self_attn.q_a_layernorm" -> "attn_q_a_norm";
            case "self_attn.q_b_proj" -> "attn_q_b";
            case "self_attn.kv_a_proj_with_mqa" -> "attn_kv_a_mqa";
            case "self_attn.kv_a_layernorm" -> "attn_kv_a_norm";
            case "self_attn.kv_b_proj" -> "attn_kv_b";
            case "self_attn.k_b_proj" -> "attn_k_b";
            case "self_attn.v_b_proj" -> "attn_v_b";
            case "post_attention_layernorm" -> placement == Placement.BEFORE ? "ffn_norm" : "post_attention_norm";
            case "pre_feedforward_layernorm" -> "ffn_norm";
            case "post_feedforward_layernorm" -> "post_ffw_norm";
            case "mlp.gate_proj" -> "ffn_gate";
            // Where there is no ffn_gate, ffn_up holds both.
            case "mlp.up_proj", "mlp.gate_up_proj" -> "ffn_up";
            case "mlp.down_proj" -> "ffn_down";
            case "mlp.gate" -> "ffn_gate_inp";
            case "mlp.shared_expert.gate_proj" -> "ffn_gate_shexp";
            case "mlp.shared_expert.up_proj" -> "ffn_up_shexp";
            case "mlp.shared_expert.down_proj" -> "ffn_down_shexp";
            case "mlp.shared_expert_gate" -> "ffn_gate_inp_shexp";
            default -> throw new IllegalArgumentException(part);
        };
    }
}
