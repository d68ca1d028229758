package io.millrace.worker.program;

import java.util.ArrayList;
import java.util.List;

/** Which tensors an op reads and writes: what liveness and checks need. */
public final class OpHandles {

    private OpHandles() {}

    /** Handles read, without {@link Op#NONE}. */
    public static List<Integer> reads(Op op) {
        return switch (op) {
            case Op.Embed o -> List.of(o.table());
            case Op.RmsNorm o -> List.of(o.x(), o.weight());
            case Op.Linear o -> linear(o);
            case Op.Rope o -> List.of(o.x());
            case Op.KvWrite o -> List.of(o.k(), o.v());
            case Op.Attention o -> List.of(o.q());
            case Op.Gated o -> List.of(o.gate(), o.up());
            case Op.Add o -> List.of(o.a(), o.b());
            case Op.Scale o -> List.of(o.x());
            case Op.SoftCap o -> List.of(o.x());
            case Op.GatherRows o -> List.of(o.x());
            case Op.Logits o -> List.of(o.x(), o.weight());
            case Op.Sample o -> List.of(o.logits());
            case Op.SigmoidScale o -> List.of(o.x(), o.gate());
            case Op.MoeRoute o -> List.of(o.x(), o.weight());
            case Op.MoeExperts o -> experts(o);
            case Op.LatentAttention o -> List.of(o.qNope(), o.qRope(), o.keyUp(), o.valueUp());
            case Op.LayerNorm o -> layerNorm(o);
            case Op.Activation o -> List.of(o.x());
            case Op.SelfAttention o -> List.of(o.q(), o.k(), o.v());
            case Op.EmbedPositions o -> List.of(o.table());
            case Op.EmbedTypes o -> List.of(o.table());
            case Op.Pool o -> List.of(o.x());
            case Op.Output o -> List.of(o.x());
        };
    }

    /** Handles written. */
    public static List<Integer> writes(Op op) {
        return switch (op) {
            case Op.Embed o -> List.of(o.out());
            case Op.RmsNorm o -> List.of(o.out());
            case Op.Linear o -> o.outs();
            case Op.Rope o -> List.of(o.out());
            case Op.Attention o -> List.of(o.out());
            case Op.Gated o -> List.of(o.out());
            case Op.Add o -> List.of(o.out());
            case Op.Scale o -> List.of(o.out());
            case Op.SoftCap o -> List.of(o.out());
            case Op.GatherRows o -> List.of(o.out());
            case Op.Logits o -> List.of(o.out());
            case Op.SigmoidScale o -> List.of(o.out());
            case Op.MoeRoute o -> List.of(o.ids(), o.weights());
            case Op.MoeExperts o -> List.of(o.out());
            case Op.LatentAttention o -> List.of(o.out());
            case Op.KvWrite o -> List.of();
            case Op.Sample o -> List.of();
            case Op.LayerNorm o -> List.of(o.out());
            case Op.Activation o -> List.of(o.out());
            case Op.SelfAttention o -> List.of(o.out());
            case Op.EmbedPositions o -> List.of(o.out());
            case Op.EmbedTypes o -> List.of(o.out());
            case Op.Pool o -> List.of(o.out());
            case Op.Output o -> List.of();
        };
    }

    private static List<Integer> experts(Op.MoeExperts op) {
        List<Integer> result = new ArrayList<>(List.of(op.x(), op.ids(), op.weights()));
        result.addAll(op.gates());
        result.addAll(op.ups());
        result.addAll(op.downs());
        return result;
    }

    private static List<Integer> layerNorm(Op.LayerNorm op) {
        return op.bias() == Op.NONE ? List.of(op.x(), op.weight()) : List.of(op.x(), op.weight(), op.bias());
    }

    private static List<Integer> linear(Op.Linear op) {
        List<Integer> result = new ArrayList<>();
        result.add(op.x());
        result.addAll(op.weights());
        op.biases().stream().filter(b -> b != Op.NONE).forEach(result::add);
        return result;
    }
}
