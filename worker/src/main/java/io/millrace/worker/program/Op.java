package io.millrace.worker.program;

import java.util.List;

/**
 * One op of a step program. Integers named x, out, weight and the like are tensor handles; {@link #NONE} means absent. The
 * contract of each op (shapes, order of arithmetic, rounding) is {@code docs/step-program.md}.
 */
public sealed interface Op {

    /** Handle of a tensor that is not there. */
    int NONE = -1;

    OpCode code();

    /** {@code out[T, H] = table[tokens[T]] · factor}. */
    record Embed(int table, int out, float factor) implements Op {
        @Override
        public OpCode code() {
            return OpCode.EMBED;
        }
    }

    /** Root-mean-square norm over runs of {@code width} values: {@code x / sqrt(mean(x²) + eps) · (weight + offset)}. */
    record RmsNorm(int x, int weight, int out, int width, float eps, float offset) implements Op {
        @Override
        public OpCode code() {
            return OpCode.RMS_NORM;
        }
    }

    /** Linear layers that share their input: {@code outs[i] = x · weights[i]ᵀ + biases[i]}. */
    record Linear(int x, List<Integer> weights, List<Integer> biases, List<Integer> outs) implements Op {
        @Override
        public OpCode code() {
            return OpCode.LINEAR;
        }
    }

    /** Turns {@code dims} leading values of each head by the row's position; pairs (2i, 2i+1) when {@code pairs}. */
    record Rope(int x, int out, int heads, int headDim, int dims, boolean pairs, int table) implements Op {
        @Override
        public OpCode code() {
            return OpCode.ROPE;
        }
    }

    /** Writes K and V of the rows to their cache slots, in layer {@code layer} of KV group {@code group}. */
    record KvWrite(int k, int v, int group, int layer) implements Op {
        @Override
        public OpCode code() {
            return OpCode.KV_WRITE;
        }
    }

    /** Causal attention over the paged cache. */
    record Attention(
            int q,
            int out,
            int group,
            int layer,
            int heads,
            int kvHeads,
            int keyDim,
            int valueDim,
            int window,
            float scale,
            float softCap)
            implements Op {
        @Override
        public OpCode code() {
            return OpCode.ATTENTION;
        }
    }

    /** {@code out = f(gate) · up}. */
    record Gated(int gate, int up, int out, Function function) implements Op {
        @Override
        public OpCode code() {
            return OpCode.GATED;
        }

        /** Numbers in the encoded form are the ordinals. */
        public enum Function {
            SILU,
            GELU_TANH
        }
    }

    /** {@code out = a + b · factor}. */
    record Add(int a, int b, int out, float factor) implements Op {
        @Override
        public OpCode code() {
            return OpCode.ADD;
        }
    }

    /** {@code out = x · factor}. */
    record Scale(int x, int out, float factor) implements Op {
        @Override
        public OpCode code() {
            return OpCode.SCALE;
        }
    }

    /** {@code out = tanh(x / cap) · cap}. */
    record SoftCap(int x, int out, float cap) implements Op {
        @Override
        public OpCode code() {
            return OpCode.SOFT_CAP;
        }
    }

    /** {@code out[R, H] = x[logitRows[R]]}. */
    record GatherRows(int x, int out) implements Op {
        @Override
        public OpCode code() {
            return OpCode.GATHER_ROWS;
        }
    }

    /** {@code out[R, vocabulary] = x · weightᵀ · factor}, then the soft cap unless 0. */
    record Logits(int x, int weight, int out, float factor, float softCap) implements Op {
        @Override
        public OpCode code() {
            return OpCode.LOGITS;
        }
    }

    /** Chooses an id for each logit row; the ids stay where the next step's tokens may refer to them. */
    record Sample(int logits) implements Op {
        @Override
        public OpCode code() {
            return OpCode.SAMPLE;
        }
    }

    /** {@code out = x · sigmoid(gate)}; each value of the gate is for an equal run of x. */
    record SigmoidScale(int x, int gate, int out) implements Op {
        @Override
        public OpCode code() {
            return OpCode.SIGMOID_SCALE;
        }
    }

    /**
     * Chooses {@code active} experts for each row by the softmax of {@code x · weightᵀ}: their numbers, ascending, and what their
     * outputs count.
     *
     * @param ids [T, active], the only activation of whole numbers
     * @param weights [T, active]
     * @param renormalise the weights of a row are made to add up to 1, before {@code scale}
     * @param groups equal runs of experts of which only the {@code keptGroups} best may be chosen from; 1: no groups
     */
    record MoeRoute(
            int x,
            int weight,
            int ids,
            int weights,
            int active,
            boolean renormalise,
            float scale,
            int groups,
            int keptGroups)
            implements Op {
        @Override
        public OpCode code() {
            return OpCode.MOE_ROUTE;
        }
    }

    /** Gated MLPs of the chosen experts, weighted and added up. One gate, up and down matrix for each expert. */
    record MoeExperts(
            int x,
            int ids,
            int weights,
            List<Integer> gates,
            List<Integer> ups,
            List<Integer> downs,
            int out,
            Gated.Function function)
            implements Op {
        @Override
        public OpCode code() {
            return OpCode.MOE_EXPERTS;
        }
    }

    /**
     * Causal attention over a cache of latents (multi-head latent attention): K of a token is its latent [kvRank], from which every
     * head's keys and values are made, V of a token is the rotated key part [ropeDim] that all heads share.
     *
     * @param keyUp [heads * nopeDim, kvRank]
     * @param valueUp [heads * valueDim, kvRank]
     */
    record LatentAttention(
            int qNope,
            int qRope,
            int keyUp,
            int valueUp,
            int out,
            int group,
            int layer,
            int heads,
            int nopeDim,
            int ropeDim,
            int kvRank,
            int valueDim,
            float scale)
            implements Op {
        @Override
        public OpCode code() {
            return OpCode.LATENT_ATTENTION;
        }
    }

    /** Layer norm over runs of {@code width} values: {@code (x - mean) / sqrt(variance + eps) · weight + bias}. */
    record LayerNorm(int x, int weight, int bias, int out, int width, float eps) implements Op {
        @Override
        public OpCode code() {
            return OpCode.LAYER_NORM;
        }
    }

    /** {@code out = f(x)}, value by value. */
    record Activation(int x, int out, Function function) implements Op {
        @Override
        public OpCode code() {
            return OpCode.ACTIVATION;
        }

        /** Numbers in the encoded form are the ordinals. */
        public enum Function {
            /** By the error function. */
            GELU,
            GELU_TANH,
            RELU,
            SILU,
            TANH
        }
    }

    /** Attention of the rows of a sequence to each other, without a cache; in both directions unless {@code causal}. */
    record SelfAttention(
            int q,
            int k,
            int v,
            int out,
            int heads,
            int kvHeads,
            int keyDim,
            int valueDim,
            boolean causal,
            int window,
            float scale,
            float softCap)
            implements Op {
        @Override
        public OpCode code() {
            return OpCode.SELF_ATTENTION;
        }
    }

    /** {@code out[T, H] = table[positions[T] + offset]}. */
    record EmbedPositions(int table, int out, int offset) implements Op {
        @Override
        public OpCode code() {
            return OpCode.EMBED_POSITIONS;
        }
    }

    /** {@code out[T, H] = table[types[T]]}. */
    record EmbedTypes(int table, int out) implements Op {
        @Override
        public OpCode code() {
            return OpCode.EMBED_TYPES;
        }
    }

    /** {@code out[S, H]}: one row for each sequence. */
    record Pool(int x, int out, Kind kind) implements Op {
        @Override
        public OpCode code() {
            return OpCode.POOL;
        }

        /** Numbers in the encoded form are the ordinals. */
        public enum Kind {
            /** The first row (CLS). */
            FIRST,
            LAST,
            MEAN
        }
    }

    /** Gives {@code x[S, n]} to the host; ends a program that does not sample. */
    record Output(int x) implements Op {
        @Override
        public OpCode code() {
            return OpCode.OUTPUT;
        }
    }
}
