package io.millrace.worker.model.decoder;

import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.config.DecoderConfig.Naming;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.Recorder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The weights that a program asks for while it is recorded, and where the checkpoint keeps each: alone, fused with others, or
 * stacked for all experts. Nothing is checked here; a tensor that is nowhere keeps its first name, for the message.
 */
final class Slots {

    private final DecoderConfig config;
    private final WeightSource source;
    private final TensorNames names;
    private final Recorder recorder;
    private final Map<String, WeightSlot> slots = new LinkedHashMap<>();

    Slots(DecoderConfig config, WeightSource source, TensorNames names, Recorder recorder) {
        this.config = config;
        this.source = source;
        this.names = names;
        this.recorder = recorder;
    }

    Map<String, WeightSlot> all() {
        return slots;
    }

    /** A weight that is no layer's. */
    int top(String name, String tensor, int... shape) {
        return put(new WeightSlot(name, tensor, list(shape)));
    }

    /** A layer's [out, in]. */
    int matrix(int layer, String part, int out, int in) {
        return put(whole(layer, part, "weight", out, in));
    }

    /** A layer's [n]. */
    int vector(int layer, String part, int n) {
        return put(whole(layer, part, "weight", n));
    }

    /** A layer's bias, or {@link Op#NONE}. A GGUF file has a bias where it has the tensor; config.json says. */
    int bias(int layer, String part, int n, boolean said) {
        return hasBias(layer, part, said) ? put(whole(layer, part, "bias", n)) : Op.NONE;
    }

    /** Matrices that share their input; in some checkpoints one tensor, {@code fused}, holds the rows of all. */
    List<Integer> matrices(int layer, String fused, List<String> parts, List<Integer> outs, int in) {
        return joined(layer, fused, parts, outs, "weight", in);
    }

    /** The biases of {@link #matrices}. */
    List<Integer> biases(int layer, String fused, List<String> parts, List<Integer> outs, boolean said) {
        boolean any = hasBias(layer, parts.getFirst(), said) || hasBias(layer, fused, false);
        return any
                ? joined(layer, fused, parts, outs, "bias", 0)
                : parts.stream().map(p -> Op.NONE).toList();
    }

    /** Rows of a layer's tensor. */
    int rows(int layer, String part, String tensorPart, WeightSlot.Rows rows, int out, int in) {
        String tensor = present(names.layer(layer, tensorPart, "weight"));
        return put(new WeightSlot(slot(layer, part), tensor, List.of(out, in), rows));
    }

    /** Values of a layer's bias, or {@link Op#NONE}. */
    int biasRows(int layer, String part, String tensorPart, WeightSlot.Rows rows, int n, boolean said) {
        if (!hasBias(layer, tensorPart, said)) {
            return Op.NONE;
        }
        String tensor = present(names.layer(layer, tensorPart, "bias"));
        return put(new WeightSlot(slot(layer, part) + ".bias", tensor, List.of(n), rows));
    }

    /** An expert's [out, in]: a tensor of its own, or a slice of one for all experts. */
    int expert(int layer, int expert, int experts, String part, int out, int in) {
        String name = slot(layer, "mlp.experts." + expert + "." + part);
        List<String> own = names.expert(layer, expert, part);
        String stacked = names.stackedExperts(layer, part);
        boolean alone = own.stream().anyMatch(source::has);
        if (alone || config.naming() == Naming.HUGGING_FACE) {
            return put(new WeightSlot(name, present(own), List.of(out, in)));
        }
        return put(new WeightSlot(
                name,
                stacked,
                List.of(out, in),
                WeightSlot.Rows.from(List.of(experts, out, in), Math.multiplyExact(expert, out), out)));
    }

    /** The weight of the one output that weighs a shared expert: [1, n], in GGUF files [n]. */
    int single(int layer, String part, int n) {
        WeightSlot slot = whole(layer, part, "weight", 1, n);
        boolean flat = config.naming() == Naming.GGUF;
        return put(flat ? new WeightSlot(slot.name(), slot.tensor(), slot.shape(), WeightSlot.Rows.flat(n)) : slot);
    }

    boolean has(int layer, String part) {
        return names.layer(layer, part, "weight").stream().anyMatch(source::has);
    }

    private boolean hasBias(int layer, String part, boolean said) {
        return config.naming() == Naming.GGUF
                ? names.layer(layer, part, "bias").stream().anyMatch(source::has)
                : said;
    }

    private List<Integer> joined(int layer, String fused, List<String> parts, List<Integer> outs, String kind, int in) {
        boolean alone = names.layer(layer, parts.getFirst(), kind).stream().anyMatch(source::has);
        String whole = present(names.layer(layer, fused, kind));
        boolean one = !alone && source.has(whole);
        int total = outs.stream().mapToInt(Integer::intValue).sum();
        List<Integer> handles = new ArrayList<>();
        int first = 0;
        for (int i = 0; i < parts.size(); i++) {
            int out = outs.get(i);
            List<Integer> shape = in == 0 ? List.of(out) : List.of(out, in);
            List<Integer> stored = in == 0 ? List.of(total) : List.of(total, in);
            String name = slot(layer, parts.get(i)) + (kind.equals("bias") ? ".bias" : "");
            String tensor = one ? whole : present(names.layer(layer, parts.get(i), kind));
            WeightSlot.Rows rows = one ? WeightSlot.Rows.from(stored, first, out) : WeightSlot.Rows.all(shape);
            handles.add(put(new WeightSlot(name, tensor, shape, rows)));
            first += out;
        }
        return handles;
    }

    private WeightSlot whole(int layer, String part, String kind, int... shape) {
        String name = slot(layer, part) + (kind.equals("bias") ? ".bias" : "");
        return new WeightSlot(name, present(names.layer(layer, part, kind)), list(shape));
    }

    private static String slot(int layer, String part) {
        return "layers." + layer + "." + part;
    }

    /** The name that the checkpoint has, else the first. */
    private String present(List<String> tensors) {
        return tensors.stream().filter(source::has).findFirst().orElse(tensors.getFirst());
    }

    private int put(WeightSlot slot) {
        slots.putIfAbsent(slot.name(), slot);
        return recorder.weight(
                slot.name(), slot.shape().stream().mapToInt(Integer::intValue).toArray());
    }

    private static List<Integer> list(int... shape) {
        return Arrays.stream(shape).boxed().toList();
    }
}
