package io.millrace.worker.engine;

import java.util.List;
import java.util.Set;

/**
 * One execution of a model that pools: whole inputs, and what is to be made of their rows.
 *
 * @param key names the execution here; unique among those in the engine
 * @param inputs at least one, each computed once
 * @param outputs in order of their indexes; each needs one or two inputs
 * @param finish how an output is made
 * @param dimensions first values of an embedding that are kept; 0: all
 * @param priority larger runs first
 * @param deadlineMs wall clock; checked every step
 * @param solo runs alone
 */
public record PoolingRequest(
        String key,
        List<Input> inputs,
        List<Output> outputs,
        Finish finish,
        int dimensions,
        int priority,
        long deadlineMs,
        boolean solo) {

    /**
     * An input.
     *
     * @param ids at least one
     * @param types segment of each id
     */
    public record Input(int[] ids, int[] types) {}

    /**
     * An output.
     *
     * @param index under which it is reported
     * @param input it is made of
     * @param other second input; -1: none
     */
    public record Output(int index, int input, int other) {}

    /** How an output is made of pooled rows. */
    public enum Finish {
        /** The row, cut to the dimensions wanted, of length 1. */
        EMBEDDING,
        /** The head's logit as it is. */
        LOGIT,
        /** The sigmoid of the head's logit. */
        SIGMOID,
        /** The cosine of two rows. */
        COSINE
    }

    public PoolingRequest {
        inputs = List.copyOf(inputs);
        outputs = List.copyOf(outputs);
    }

    /** Tokens of all inputs. */
    public int tokens() {
        return inputs.stream().mapToInt(i -> i.ids().length).sum();
    }

    /** The same without outputs that are done already. */
    public PoolingRequest without(Set<Integer> done) {
        List<Output> left =
                outputs.stream().filter(o -> !done.contains(o.index())).toList();
        return new PoolingRequest(key, inputs, left, finish, dimensions, priority, deadlineMs, solo);
    }
}
