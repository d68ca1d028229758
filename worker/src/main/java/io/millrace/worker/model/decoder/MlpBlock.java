package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.Experts;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.Recorder;
import java.util.ArrayList;
import java.util.List;

/** Records a layer's MLP: one for all tokens, or a choice of experts with or without one that all share. */
final class MlpBlock {

    private static final String BOTH = "mlp.gate_up_proj";
    private static final List<String> PARTS = List.of("mlp.gate_proj", "mlp.up_proj");
    private static final String ROUTER = "mlp.gate";
    private static final String SHARED = "mlp.shared_expert";

    private final DecoderConfig config;
    private final Slots slots;
    private final Recorder r;

    MlpBlock(DecoderConfig config, Slots slots, Recorder r) {
        this.config = config;
        this.slots = slots;
        this.r = r;
    }

    int record(int layer, int x) {
        Experts experts = config.experts();
        if (experts == null || !chosen(layer)) {
            return dense(layer, x);
        }
        int routed = routed(layer, experts, x);
        return experts.sharedIntermediateSize() == 0 ? routed : r.add(routed, shared(layer, experts, x), 1);
    }

    /** GGUF metadata does not say which layers have no experts, except at the beginning. */
    private boolean chosen(int layer) {
        boolean said = config.layerKinds().get(layer).experts();
        return said && (config.naming() == DecoderConfig.Naming.HUGGING_FACE || slots.has(layer, ROUTER));
    }

    private int dense(int layer, int x) {
        int wide = config.intermediateSize();
        int hidden = config.hiddenSize();
        boolean biases = config.biases().mlp();
        List<Integer> widths = List.of(wide, wide);
        List<Integer> both = r.linear(
                x,
                slots.matrices(layer, BOTH, PARTS, widths, hidden),
                slots.biases(layer, BOTH, PARTS, widths, biases));
        int gated = r.gated(both.get(0), both.get(1), function());
        return r.linear(
                        gated,
                        List.of(slots.matrix(layer, "mlp.down_proj", hidden, wide)),
                        List.of(slots.bias(layer, "mlp.down_proj", hidden, biases)))
                .getFirst();
    }

    private int routed(int layer, Experts experts, int x) {
        int hidden = config.hiddenSize();
        int wide = experts.intermediateSize();
        int count = experts.count();
        Recorder.Routing routing = r.moeRoute(
                x,
                slots.matrix(layer, ROUTER, count, hidden),
                experts.active(),
                experts.renormalise(),
                experts.scale(),
                experts.groups(),
                experts.keptGroups());
        List<Integer> gates = new ArrayList<>();
        List<Integer> ups = new ArrayList<>();
        List<Integer> downs = new ArrayList<>();
        for (int e = 0; e < count; e++) {
            gates.add(slots.expert(layer, e, count, "gate_proj", wide, hidden));
            ups.add(slots.expert(layer, e, count, "up_proj", wide, hidden));
            downs.add(slots.expert(layer, e, count, "down_proj", hidden, wide));
        }
        return r.moeExperts(x, routing, gates, ups, downs, function());
    }

    private int shared(int layer, Experts experts, int x) {
        int hidden = config.hiddenSize();
        int wide = experts.sharedIntermediateSize();
        List<Integer> weights = new ArrayList<>(List.of(
                slots.matrix(layer, SHARED + ".gate_proj", wide, hidden),
                slots.matrix(layer, SHARED + ".up_proj", wide, hidden)));
        if (experts.sharedGate()) {
            weights.add(slots.single(layer, SHARED + "_gate", hidden));
        }
        List<Integer> made =
                r.linear(x, weights, weights.stream().map(w -> Op.NONE).toList());
        int gated = r.gated(made.get(0), made.get(1), function());
        int down = r.linear(gated, List.of(slots.matrix(layer, SHARED + ".down_proj", hidden, wide)), List.of(Op.NONE))
                .getFirst();
        return experts.sharedGate() ? r.sigmoidScale(down, made.get(2)) : down;
    }

    private Op.Gated.Function function() {
        return config.activation() == DecoderConfig.Activation.SILU
                ? Op.Gated.Function.SILU
                : Op.Gated.Function.GELU_TANH;
    }
}
