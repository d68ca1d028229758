package io.millrace.worker.model.encoder;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.config.DecoderConfig;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.decoder.SlotCheck;
import io.millrace.worker.model.decoder.WeightSlot;
import io.millrace.worker.model.weights.WeightSource;
import io.millrace.worker.program.Op;
import io.millrace.worker.program.OpHandles;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Rewrites a decoder's program into one that pools: attention over the rows of the step in place of the cache, the final norm on every
 * row, then the pooled row, and a classification head where the checkpoint has one. So every family of the decoder is an embedding model too.
 */
public final class PooledDecoder {

    private static final String HEAD = "score";

    private final Decoder decoder;
    private final WeightSource source;
    private final @Nullable String head;
    private final List<TensorInfo> tensors;
    private final List<Op> ops = new ArrayList<>();
    private final Map<Integer, Op.KvWrite> written = new HashMap<>();
    private int hidden = Op.NONE;

    private PooledDecoder(Decoder decoder, WeightSource source, @Nullable String head) {
        this.decoder = decoder;
        this.source = source;
        this.head = head;
        this.tensors = new ArrayList<>(decoder.program().tensors());
    }

    /**
     * The pooled model of a decoder.
     *
     * @param head tensor [1, hidden] of the classification head; null: an embedding
     * @throws MillraceException MR-MODEL-003 when the head is not of this model, MR-MODEL-004 when the decoder has ops that cannot be
     *     pooled
     */
    public static PooledModel of(Decoder decoder, WeightSource source, Op.Pool.Kind kind, @Nullable String head) {
        return new PooledDecoder(decoder, source, head).build(kind);
    }

    private PooledModel build(Op.Pool.Kind kind) {
        DecoderConfig config = decoder.config();
        int width = config.hiddenSize();
        boolean behind = false;
        for (Op op : decoder.program().ops()) {
            behind |= op instanceof Op.GatherRows;
            if (behind) {
                end(op);
            } else {
                row(op);
            }
        }
        int pooled = add(TensorInfo.Role.ACTIVATION, "pooled", TensorInfo.SEQUENCES, width);
        ops.add(new Op.Pool(hidden, pooled, kind));
        Map<String, WeightSlot> slots = new HashMap<>(decoder.slots());
        if (head != null) {
            WeightSlot slot = new WeightSlot(HEAD, head, List.of(1, width));
            new SlotCheck(config.origin(), config.architecture(), config.layers(), source).check(slot);
            slots.put(HEAD, slot);
            int weight = add(TensorInfo.Role.WEIGHT, HEAD, 1, width);
            int logit = add(TensorInfo.Role.ACTIVATION, "score", TensorInfo.SEQUENCES, 1);
            ops.add(new Op.Linear(pooled, List.of(weight), List.of(Op.NONE), List.of(logit)));
            pooled = logit;
        }
        ops.add(new Op.Output(pooled));
        StepProgram program = new Compact(tensors, ops).program();
        Set<String> used = new HashSet<>();
        program.tensors().stream()
                .filter(t -> t.role() == TensorInfo.Role.WEIGHT)
                .forEach(t -> used.add(t.name()));
        slots.keySet().retainAll(used);
        return new PooledModel(
                config.architecture(),
                config.origin(),
                program,
                slots,
                source,
                decoder.vocabularySize(),
                config.contextLength(),
                config.layers(),
                head == null ? width : 1,
                head != null,
                decoder,
                null);
    }

    /** Before the end: the cache goes, all else stays. */
    private void row(Op op) {
        switch (op) {
            case Op.KvWrite write -> written.put(place(write.group(), write.layer()), write);
            case Op.Attention a -> {
                Op.KvWrite kv = Objects.requireNonNull(written.get(place(a.group(), a.layer())));
                ops.add(new Op.SelfAttention(
                        a.q(),
                        kv.k(),
                        kv.v(),
                        a.out(),
                        a.heads(),
                        a.kvHeads(),
                        a.keyDim(),
                        a.valueDim(),
                        true,
                        a.window(),
                        a.scale(),
                        a.softCap()));
            }
            default -> {
                ops.add(op);
                checkKnown(op);
            }
        }
    }

    private static int place(int group, int layer) {
        return group << 16 | layer;
    }

    /** Ops with a cache of their own have no form without one. */
    private void checkKnown(Op op) {
        if (op instanceof Op.LatentAttention) {
            throw unsupported("latent attention");
        }
    }

    private MillraceException unsupported(String what) {
        return new MillraceException(
                "MR-MODEL-004",
                decoder.config().origin() + ": a model with " + what
                        + " cannot be pooled; supported as embedding models: decoders with ordinary attention, encoders.");
    }

    /** From the gathering of logit rows on: the norm is wanted on every row, the logits not at all. */
    private void end(Op op) {
        switch (op) {
            case Op.GatherRows g -> hidden = g.x();
            case Op.RmsNorm n -> {
                int out = add(
                        TensorInfo.Role.ACTIVATION,
                        "norm",
                        TensorInfo.ROWS,
                        tensors.get(n.out()).shape().getLast());
                ops.add(new Op.RmsNorm(hidden, n.weight(), out, n.width(), n.eps(), n.offset()));
                hidden = out;
            }
            case Op.Logits l -> {}
            case Op.Sample s -> {}
            default -> throw unsupported("the op " + op.code() + " between its last layer and its logits");
        }
    }

    private int add(TensorInfo.Role role, String name, int... shape) {
        List<Integer> sizes = new ArrayList<>();
        for (int size : shape) {
            sizes.add(size);
        }
        tensors.add(new TensorInfo(role, name, List.copyOf(sizes)));
        return tensors.size() - 1;
    }

    /** A program whose unused weights have no name, so that no backend loads them. */
    private record Compact(List<TensorInfo> tensors, List<Op> ops) {

        StepProgram program() {
            Set<Integer> read = new HashSet<>();
            ops.forEach(op -> read.addAll(OpHandles.reads(op)));
            List<TensorInfo> kept = new ArrayList<>();
            for (int handle = 0; handle < tensors.size(); handle++) {
                TensorInfo tensor = tensors.get(handle);
                boolean unused = tensor.role() == TensorInfo.Role.WEIGHT && !read.contains(handle);
                kept.add(unused ? new TensorInfo(TensorInfo.Role.ACTIVATION, "unused", List.of()) : tensor);
            }
            return new StepProgram(kept, ops);
        }
    }
}
