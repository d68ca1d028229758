package io.millrace.worker.program;

import java.util.List;

/**
 * A recorded step: what a backend replays for every batch. The list does not depend on the batch; sizes that change come with
 * the step as T, S and R.
 *
 * @param tensors by handle
 * @param ops in order; an activation is written by exactly one op, before any that reads it
 */
public record StepProgram(List<TensorInfo> tensors, List<Op> ops) {

    public StepProgram {
        tensors = List.copyOf(tensors);
        ops = List.copyOf(ops);
    }

    /** The tensor of a handle. */
    public TensorInfo tensor(int handle) {
        return tensors.get(handle);
    }

    /** The flat form that native code reads. */
    public int[] encode() {
        return ProgramCodec.encode(this);
    }

    /** Reads {@link #encode}'s form. Weight slot names are part of it. */
    public static StepProgram decode(int[] words) {
        return ProgramCodec.decode(words);
    }
}
