package io.millrace.worker.program;

import java.util.List;

/**
 * A tensor of a program. Its place in {@link StepProgram#tensors} is its handle.
 *
 * @param name of a weight: its slot, as the model's {@code WeightSlot} has it; of others: for people
 * @param shape sizes; {@link #ROWS}, {@link #SEQUENCES} and {@link #LOGIT_ROWS} stand for what changes from step to step
 */
public record TensorInfo(Role role, String name, List<Integer> shape) {

    /** T: token rows of the step. */
    public static final int ROWS = -1;
    /** S: sequences of the step. */
    public static final int SEQUENCES = -2;
    /** R: logit rows of the step. */
    public static final int LOGIT_ROWS = -3;

    /** What a tensor is. Numbers in the encoded form are the ordinals. */
    public enum Role {
        /** Bound when the model is loaded; its stored type is the backend's affair. */
        WEIGHT,
        /** Made by one op, read by later ones, float32 unless the backend computes in less. */
        ACTIVATION
    }
}
