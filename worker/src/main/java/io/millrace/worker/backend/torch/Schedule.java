package io.millrace.worker.backend.torch;

import io.millrace.worker.program.Op;
import io.millrace.worker.program.OpHandles;
import io.millrace.worker.program.StepProgram;
import io.millrace.worker.program.TensorInfo;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * What is known of a program before any step: which activations each op leaves behind, and where row groups must wait for each
 * other.
 *
 * @param ops of the program
 * @param dead [op] activations that no later op reads
 * @param stages bounds of op runs, each beginning with an attention (which reads what all groups wrote); the last bound is the
 *     first op of the end, which gathers logit rows or pools
 */
record Schedule(List<Op> ops, List<List<Integer>> dead, int[] stages) {

    static Schedule of(StepProgram program) {
        List<Op> ops = program.ops();
        int[] last = new int[program.tensors().size()];
        Arrays.fill(last, -1);
        List<Integer> bounds = new ArrayList<>(List.of(0));
        int end = ops.size();
        for (int i = 0; i < ops.size(); i++) {
            for (int handle : OpHandles.reads(ops.get(i))) {
                last[handle] = i;
            }
            if (ops.get(i) instanceof Op.Attention || ops.get(i) instanceof Op.LatentAttention) {
                bounds.add(i);
            }
            if (ops.get(i) instanceof Op.GatherRows || ops.get(i) instanceof Op.Pool) {
                end = i;
            }
        }
        bounds.add(end);
        List<List<Integer>> dead = new ArrayList<>();
        for (int i = 0; i < ops.size(); i++) {
            dead.add(new ArrayList<>());
        }
        for (int handle = 0; handle < last.length; handle++) {
            if (last[handle] >= 0 && program.tensor(handle).role() == TensorInfo.Role.ACTIVATION) {
                dead.get(last[handle]).add(handle);
            }
        }
        return new Schedule(
                ops, dead, bounds.stream().mapToInt(Integer::intValue).toArray());
    }

    /** The program pools whole sequences, and samples nothing. */
    boolean pools() {
        return end() < ops.size() && ops.get(end()) instanceof Op.Pool;
    }

    /** First op of the end. */
    int end() {
        return stages[stages.length - 1];
    }
}
