package io.millrace.worker.program;

import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The flat form of a program: 32-bit words.
 *
 * <pre>
 * magic 0x4D525350, version 1, number of tensors, number of ops
 * tensor: role, rank, sizes…, bytes of the name, name (UTF-8, four bytes a word, little-endian, zero-padded)
 * op:     opcode, number of words that follow, words…
 * </pre>
 *
 * Words of an op are its record's components in order: handles and integers as they are, floats as their bits, booleans 0 or 1,
 * enums as ordinals, lists as length and entries.
 */
final class ProgramCodec {

    static final int MAGIC = 0x4D525350;
    static final int VERSION = 1;

    private ProgramCodec() {}

    static int[] encode(StepProgram program) {
        Words words = new Words();
        words.add(MAGIC)
                .add(VERSION)
                .add(program.tensors().size())
                .add(program.ops().size());
        for (TensorInfo tensor : program.tensors()) {
            words.add(tensor.role().ordinal()).list(tensor.shape());
            byte[] name = tensor.name().getBytes(StandardCharsets.UTF_8);
            words.add(name.length);
            for (int i = 0; i < name.length; i += 4) {
                int word = 0;
                for (int j = 0; j < 4 && i + j < name.length; j++) {
                    word |= (name[i + j] & 0xff) << 8 * j;
                }
                words.add(word);
            }
        }
        for (Op op : program.ops()) {
            int[] body = body(op);
            words.add(op.code().number()).add(body.length);
            for (int word : body) {
                words.add(word);
            }
        }
        return words.toArray();
    }

    private static int[] body(Op op) {
        Words w = new Words();
        switch (op) {
            case Op.Embed o -> w.add(o.table()).add(o.out()).add(o.factor());
            case Op.RmsNorm o ->
                w.add(o.x())
                        .add(o.weight())
                        .add(o.out())
                        .add(o.width())
                        .add(o.eps())
                        .add(o.offset());
            case Op.Linear o -> w.add(o.x()).list(o.weights()).list(o.biases()).list(o.outs());
            case Op.Rope o ->
                w.add(o.x())
                        .add(o.out())
                        .add(o.heads())
                        .add(o.headDim())
                        .add(o.dims())
                        .add(o.pairs() ? 1 : 0)
                        .add(o.table());
            case Op.KvWrite o -> w.add(o.k()).add(o.v()).add(o.group()).add(o.layer());
            case Op.Attention o ->
                w.add(o.q())
                        .add(o.out())
                        .add(o.group())
                        .add(o.layer())
                        .add(o.heads())
                        .add(o.kvHeads())
                        .add(o.keyDim())
                        .add(o.valueDim())
                        .add(o.window())
                        .add(o.scale())
                        .add(o.softCap());
            case Op.Gated o ->
                w.add(o.gate()).add(o.up()).add(o.out()).add(o.function().ordinal());
            case Op.Add o -> w.add(o.a()).add(o.b()).add(o.out()).add(o.factor());
            case Op.Scale o -> w.add(o.x()).add(o.out()).add(o.factor());
            case Op.SoftCap o -> w.add(o.x()).add(o.out()).add(o.cap());
            case Op.GatherRows o -> w.add(o.x()).add(o.out());
            case Op.Logits o ->
                w.add(o.x()).add(o.weight()).add(o.out()).add(o.factor()).add(o.softCap());
            case Op.Sample o -> w.add(o.logits());
            case Op.SigmoidScale o -> w.add(o.x()).add(o.gate()).add(o.out());
            case Op.MoeRoute o ->
                w.add(o.x())
                        .add(o.weight())
                        .add(o.ids())
                        .add(o.weights())
                        .add(o.active())
                        .add(o.renormalise() ? 1 : 0)
                        .add(o.scale())
                        .add(o.groups())
                        .add(o.keptGroups());
            case Op.MoeExperts o ->
                w.add(o.x())
                        .add(o.ids())
                        .add(o.weights())
                        .list(o.gates())
                        .list(o.ups())
                        .list(o.downs())
                        .add(o.out())
                        .add(o.function().ordinal());
            case Op.LatentAttention o ->
                w.add(o.qNope())
                        .add(o.qRope())
                        .add(o.keyUp())
                        .add(o.valueUp())
                        .add(o.out())
                        .add(o.group())
                        .add(o.layer())
                        .add(o.heads())
                        .add(o.nopeDim())
                        .add(o.ropeDim())
                        .add(o.kvRank())
                        .add(o.valueDim())
                        .add(o.scale());
            case Op.LayerNorm o ->
                w.add(o.x())
                        .add(o.weight())
                        .add(o.bias())
                        .add(o.out())
                        .add(o.width())
                        .add(o.eps());
            case Op.Activation o -> w.add(o.x()).add(o.out()).add(o.function().ordinal());
            case Op.SelfAttention o ->
                w.add(o.q())
                        .add(o.k())
                        .add(o.v())
                        .add(o.out())
                        .add(o.heads())
                        .add(o.kvHeads())
                        .add(o.keyDim())
                        .add(o.valueDim())
                        .add(o.causal() ? 1 : 0)
                        .add(o.window())
                        .add(o.scale())
                        .add(o.softCap());
            case Op.EmbedPositions o -> w.add(o.table()).add(o.out()).add(o.offset());
            case Op.EmbedTypes o -> w.add(o.table()).add(o.out());
            case Op.Pool o -> w.add(o.x()).add(o.out()).add(o.kind().ordinal());
            case Op.Output o -> w.add(o.x());
        }
        return w.toArray();
    }

    static StepProgram decode(int[] words) {
        Reader in = new Reader(words);
        if (in.next() != MAGIC || in.next() != VERSION) {
            throw new IllegalArgumentException("not a step program of version " + VERSION);
        }
        int tensorCount = in.next();
        int opCount = in.next();
        List<TensorInfo> tensors = new ArrayList<>();
        for (int i = 0; i < tensorCount; i++) {
            TensorInfo.Role role = TensorInfo.Role.values()[in.next()];
            List<Integer> shape = in.list();
            byte[] name = new byte[in.next()];
            for (int j = 0; j < name.length; j += 4) {
                int word = in.next();
                for (int k = 0; k < 4 && j + k < name.length; k++) {
                    name[j + k] = (byte) (word >> 8 * k);
                }
            }
            tensors.add(new TensorInfo(role, new String(name, StandardCharsets.UTF_8), shape));
        }
        List<Op> ops = new ArrayList<>();
        for (int i = 0; i < opCount; i++) {
            int number = in.next();
            int length = in.next();
            int end = in.at + length;
            ops.add(op(number, in));
            if (in.at != end) {
                throw new IllegalArgumentException(
                        "op " + number + " has " + length + " words where others are needed");
            }
        }
        return new StepProgram(tensors, ops);
    }

    private static Op op(int number, Reader in) {
        OpCode code = Arrays.stream(OpCode.values())
                .filter(c -> c.number() == number)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no op has the number " + number));
        return switch (code) {
            case EMBED -> new Op.Embed(in.next(), in.next(), in.real());
            case RMS_NORM -> new Op.RmsNorm(in.next(), in.next(), in.next(), in.next(), in.real(), in.real());
            case LINEAR -> new Op.Linear(in.next(), in.list(), in.list(), in.list());
            case ROPE -> new Op.Rope(in.next(), in.next(), in.next(), in.next(), in.next(), in.next() != 0, in.next());
            case KV_WRITE -> new Op.KvWrite(in.next(), in.next(), in.next(), in.next());
            case ATTENTION ->
                new Op.Attention(
                        in.next(), in.next(), in.next(), in.next(), in.next(), in.next(), in.next(), in.next(),
                        in.next(), in.real(), in.real());
            case GATED -> new Op.Gated(in.next(), in.next(), in.next(), Op.Gated.Function.values()[in.next()]);
            case ADD -> new Op.Add(in.next(), in.next(), in.next(), in.real());
            case SCALE -> new Op.Scale(in.next(), in.next(), in.real());
            case SOFT_CAP -> new Op.SoftCap(in.next(), in.next(), in.real());
            case GATHER_ROWS -> new Op.GatherRows(in.next(), in.next());
            case LOGITS -> new Op.Logits(in.next(), in.next(), in.next(), in.real(), in.real());
            case SAMPLE -> new Op.Sample(in.next());
            case SIGMOID_SCALE -> new Op.SigmoidScale(in.next(), in.next(), in.next());
            case MOE_ROUTE ->
                new Op.MoeRoute(
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next() != 0,
                        in.real(),
                        in.next(),
                        in.next());
            case MOE_EXPERTS ->
                new Op.MoeExperts(
                        in.next(),
                        in.next(),
                        in.next(),
                        in.list(),
                        in.list(),
                        in.list(),
                        in.next(),
                        Op.Gated.Function.values()[in.next()]);
            case LATENT_ATTENTION ->
                new Op.LatentAttention(
                        in.next(), in.next(), in.next(), in.next(), in.next(), in.next(), in.next(), in.next(),
                        in.next(), in.next(), in.next(), in.next(), in.real());
            case LAYER_NORM -> new Op.LayerNorm(in.next(), in.next(), in.next(), in.next(), in.next(), in.real());
            case ACTIVATION -> new Op.Activation(in.next(), in.next(), Op.Activation.Function.values()[in.next()]);
            case SELF_ATTENTION ->
                new Op.SelfAttention(
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next(),
                        in.next() != 0,
                        in.next(),
                        in.real(),
                        in.real());
            case EMBED_POSITIONS -> new Op.EmbedPositions(in.next(), in.next(), in.next());
            case EMBED_TYPES -> new Op.EmbedTypes(in.next(), in.next());
            case POOL -> new Op.Pool(in.next(), in.next(), Op.Pool.Kind.values()[in.next()]);
            case OUTPUT -> new Op.Output(in.next());
            case EMBED_ROWS, LORA, ALL_REDUCE, ALL_GATHER, SEND, RECEIVE ->
                throw new IllegalArgumentException("op " + code + " is reserved");
        };
    }

    private static final class Words {
        private int[] words = new int[64];
        private int n;

        Words add(int word) {
            if (n == words.length) {
                words = Arrays.copyOf(words, 2 * n);
            }
            words[n++] = word;
            return this;
        }

        Words add(float value) {
            return add(Float.floatToRawIntBits(value));
        }

        Words list(List<Integer> values) {
            add(values.size());
            values.forEach(this::add);
            return this;
        }

        int[] toArray() {
            return Arrays.copyOf(words, n);
        }
    }

    private static final class Reader {
        private final int[] words;
        private int at;

        Reader(int[] words) {
            this.words = words;
        }

        int next() {
            if (at >= words.length) {
                throw new IllegalArgumentException("the program ends in the middle, after " + at + " words");
            }
            return words[at++];
        }

        float real() {
            return Float.intBitsToFloat(next());
        }

        List<Integer> list() {
            int length = next();
            if (length < 0 || length > words.length - at) {
                throw new IllegalArgumentException("a list of " + length + " entries does not fit");
            }
            List<Integer> values = new ArrayList<>();
            for (int i = 0; i < length; i++) {
                values.add(next());
            }
            return List.copyOf(values);
        }
    }
}
