package io.millrace.worker.program;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** Recording, checking and the flat form. */
class StepProgramTest {

    private static StepProgram everyOp() {
        List<TensorInfo> tensors = List.of(
                new TensorInfo(TensorInfo.Role.WEIGHT, "embed_tokens é", List.of(10, 4)),
                new TensorInfo(TensorInfo.Role.ACTIVATION, "", List.of(TensorInfo.ROWS, 4)));
        List<Op> ops = List.of(
                new Op.Embed(0, 1, 1.5f),
                new Op.RmsNorm(1, 2, 3, 4, 1e-5f, 1),
                new Op.Linear(3, List.of(4, 5), List.of(Op.NONE, 6), List.of(7, 8)),
                new Op.Rope(7, 9, 2, 16, 8, true, 1),
                new Op.KvWrite(8, 9, 1, 30),
                new Op.Attention(9, 10, 1, 30, 8, 2, 16, 12, 4096, 0.25f, 50),
                new Op.Gated(10, 11, 12, Op.Gated.Function.GELU_TANH),
                new Op.Add(12, 11, 13, 0.22f),
                new Op.Scale(13, 14, -0.0f),
                new Op.SoftCap(14, 15, 30),
                new Op.SigmoidScale(15, 9, 18),
                new Op.MoeRoute(15, 4, 19, 20, 2, true, 1.5f, 4, 2),
                new Op.MoeExperts(15, 19, 20, List.of(4, 5), List.of(6, 7), List.of(8, 9), 21, Op.Gated.Function.SILU),
                new Op.LatentAttention(9, 10, 4, 5, 22, 0, 3, 8, 16, 4, 32, 12, 0.2f),
                new Op.GatherRows(15, 16),
                new Op.Logits(16, 0, 17, 0.5f, 30),
                new Op.Sample(17),
                new Op.LayerNorm(1, 2, Op.NONE, 23, 4, 1e-12f),
                new Op.Activation(23, 24, Op.Activation.Function.TANH),
                new Op.SelfAttention(7, 8, 9, 25, 8, 2, 16, 12, true, 7, 0.25f, 50),
                new Op.EmbedPositions(0, 26, 2),
                new Op.EmbedTypes(0, 27),
                new Op.Pool(25, 28, Op.Pool.Kind.MEAN),
                new Op.Output(28));
        return new StepProgram(tensors, ops);
    }

    @Test
    void everyOpSurvivesTheFlatForm() {
        StepProgram program = everyOp();
        assertThat(StepProgram.decode(program.encode())).isEqualTo(program);
        Set<OpCode> covered = program.ops().stream().map(Op::code).collect(Collectors.toSet());
        Set<OpCode> reserved = Set.of(
                OpCode.EMBED_ROWS, OpCode.LORA, OpCode.ALL_REDUCE, OpCode.ALL_GATHER, OpCode.SEND, OpCode.RECEIVE);
        assertThat(OpCode.values()).allMatch(c -> covered.contains(c) != reserved.contains(c));
    }

    @Test
    void theFlatFormIsFrozen() {
        StepProgram small = new StepProgram(
                List.of(new TensorInfo(TensorInfo.Role.WEIGHT, "embed", List.of(7, 3))),
                List.of(new Op.Embed(0, 1, 2), new Op.Linear(1, List.of(2), List.of(Op.NONE), List.of(3))));
        assertThat(small.encode())
                .containsExactly(
                        0x4D525350,
                        1,
                        1,
                        2, // header
                        0,
                        2,
                        7,
                        3,
                        5,
                        0x65626d65,
                        0x64, // tensor "embed"
                        1,
                        3,
                        0,
                        1,
                        0x40000000, // EMBED
                        3,
                        7,
                        1,
                        1,
                        2,
                        1,
                        -1,
                        1,
                        3); // LINEAR
    }

    @Test
    void aDamagedFlatFormIsRefusedWhereverItIsCut() {
        int[] words = everyOp().encode();
        for (int n = 0; n < words.length; n++) {
            int[] cut = Arrays.copyOf(words, n);
            assertThatThrownBy(() -> StepProgram.decode(cut)).isInstanceOf(IllegalArgumentException.class);
        }
        int[] reserved = new StepProgram(List.of(), List.of(new Op.Sample(0))).encode();
        reserved[4] = OpCode.ALL_REDUCE.number();
        assertThatThrownBy(() -> StepProgram.decode(reserved)).hasMessageContaining("ALL_REDUCE is reserved");
    }

    @Test
    void aProgramThatReadsWhatNothingWroteIsRefused() {
        Recorder recorder = new Recorder();
        int x = recorder.embed(recorder.weight("embed", 7, 3), 1);
        recorder.add(x, x + 5, 1);
        assertThatThrownBy(recorder::finish)
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("reads");
    }

    @Test
    void shapesFollowFromWeights() {
        Recorder recorder = new Recorder();
        int embed = recorder.weight("embed", 7, 3);
        assertThat(recorder.weight("embed", 7, 3)).isEqualTo(embed);
        int x = recorder.embed(embed, 1);
        int wide = recorder.linear(x, List.of(recorder.weight("up", 5, 3)), List.of(Op.NONE))
                .getFirst();
        int logits = recorder.logits(recorder.gatherRows(x), embed, 1, 0);
        StepProgram program = recorder.finish();
        assertThat(program.tensor(x).shape()).containsExactly(TensorInfo.ROWS, 3);
        assertThat(program.tensor(wide).shape()).containsExactly(TensorInfo.ROWS, 5);
        assertThat(program.tensor(logits).shape()).containsExactly(TensorInfo.LOGIT_ROWS, 7);
    }
}
