package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.jni.JniUtils;
import io.millrace.worker.program.Op;

/** Ops that look at single values or rows. Results are new arrays, arguments stay as they are. Thread-safe. */
final class Pointwise {

    private final Constants constants;

    Pointwise(Constants constants) {
        this.constants = constants;
    }

    /** Over runs of the op's width. */
    PtNDArray rmsNorm(Op.RmsNorm op, PtNDArray weight, PtNDArray x) {
        long width = op.width();
        long[] shape = x.getShape().getShape();
        boolean whole = shape[shape.length - 1] == width;
        PtNDArray rows = whole ? x : Pt.reshape(x, -1, width);
        PtNDArray result;
        try (PtNDArray square = JniUtils.square(rows);
                PtNDArray mean = JniUtils.mean(square, 1, true)) {
            JniUtils.addi(mean, constants.of(op.eps()));
            try (PtNDArray rms = JniUtils.sqrt(mean)) {
                result = JniUtils.div(rows, rms);
            }
        }
        if (op.offset() == 0) {
            JniUtils.muli(result, weight);
        } else {
            // Gemma stores w - offset.
            try (PtNDArray shifted = JniUtils.mul(result, constants.of(op.offset()))) {
                JniUtils.muli(result, weight);
                JniUtils.addi(result, shifted);
            }
        }
        if (whole) {
            return result;
        }
        rows.close();
        try (result) {
            return Pt.reshape(result, shape);
        }
    }

    /** {@code f(gate) · up}. */
    PtNDArray gated(Op.Gated.Function function, PtNDArray gate, PtNDArray up) {
        PtNDArray result = switch (function) {
            case SILU -> silu(gate);
            case GELU_TANH -> geluTanh(gate);
        };
        JniUtils.muli(result, up);
        return result;
    }

    /** {@code f(x)}. */
    PtNDArray activation(Op.Activation.Function function, PtNDArray x) {
        return switch (function) {
            case GELU -> Pt.gelu(x);
            case GELU_TANH -> geluTanh(x);
            case RELU -> JniUtils.relu(x);
            case SILU -> silu(x);
            case TANH -> Pt.tanh(x);
        };
    }

    private static PtNDArray silu(PtNDArray x) {
        PtNDArray s = Pt.sigmoid(x);
        JniUtils.muli(s, x);
        return s;
    }

    /** x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³))). */
    private PtNDArray geluTanh(PtNDArray x) {
        try (PtNDArray square = JniUtils.square(x)) {
            JniUtils.muli(square, constants.of(0.044715f));
            JniUtils.addi(square, constants.of(1));
            JniUtils.muli(square, x);
            JniUtils.muli(square, constants.of((float) Math.sqrt(2 / Math.PI)));
            PtNDArray result = Pt.tanh(square);
            JniUtils.addi(result, constants.of(1));
            JniUtils.muli(result, x);
            JniUtils.muli(result, constants.of(0.5f));
            return result;
        }
    }

    /** {@code a + b · factor}. */
    PtNDArray add(PtNDArray a, PtNDArray b, float factor) {
        if (factor == 1) {
            return JniUtils.add(a, b);
        }
        try (PtNDArray small = JniUtils.mul(b, constants.of(factor))) {
            return JniUtils.add(a, small);
        }
    }

    /** {@code tanh(x / cap) · cap}. */
    PtNDArray softCap(PtNDArray x, float cap) {
        try (PtNDArray small = JniUtils.mul(x, constants.of(1 / cap));
                PtNDArray bent = Pt.tanh(small)) {
            return JniUtils.mul(bent, constants.of(cap));
        }
    }

    /** {@code x · sigmoid(gate)}; a value of the gate is for an equal run of x. */
    static PtNDArray sigmoidScale(PtNDArray x, PtNDArray gate) {
        long rows = x.getShape().get(0);
        long gates = gate.getShape().get(1);
        long width = x.getShape().get(1);
        try (PtNDArray open = Pt.sigmoid(gate);
                PtNDArray factors = Pt.reshape(open, rows, gates, 1);
                PtNDArray runs = Pt.reshape(x, rows, gates, width / gates);
                PtNDArray scaled = JniUtils.mul(runs, factors)) {
            return Pt.reshape(scaled, rows, width);
        }
    }
}
