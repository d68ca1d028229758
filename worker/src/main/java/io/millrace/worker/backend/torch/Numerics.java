package io.millrace.worker.backend.torch;

import ai.djl.engine.Engine;
import ai.djl.ndarray.types.DataType;
import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import ai.djl.pytorch.jni.JniUtils;
import java.nio.FloatBuffer;
import java.util.Random;

/**
 * The numerics id. PyTorch and its matrix library choose kernels by the processor, in ways that flags do not tell, so the id
 * ends in a hash of the bits that a few fixed computations give here.
 */
final class Numerics {

    private Numerics() {}

    static String id(PtNDManager manager) {
        return "torch-" + Engine.getEngine("PyTorch").getVersion() + "-cpu-f32-" + System.getProperty("os.arch") + "-"
                + String.format("%08x", probe(manager));
    }

    private static int probe(PtNDManager parent) {
        int hash = 1;
        Random random = new Random(1);
        try (PtNDManager manager = (PtNDManager) parent.newSubManager()) {
            for (int in : new int[] {64, 576, 2048}) {
                PtNDArray x = random(manager, random, 5, in);
                PtNDArray y = JniUtils.matmul(x, random(manager, random, in, 320));
                hash = 31 * hash + bits(y);
                hash = 31 * hash + bits(JniUtils.softmax(y, 1, DataType.FLOAT32));
                hash = 31 * hash + bits(JniUtils.mean(JniUtils.square(y), 1, true));
                hash = 31 * hash + bits(JniUtils.sigmoid(y));
            }
        }
        return hash;
    }

    private static PtNDArray random(PtNDManager manager, Random random, int rows, int columns) {
        float[] values = new float[rows * columns];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return Pt.floats(manager, values, rows, columns);
    }

    private static int bits(PtNDArray x) {
        FloatBuffer values = Pt.view(x).asFloatBuffer();
        int hash = 1;
        while (values.hasRemaining()) {
            hash = 31 * hash + Float.floatToRawIntBits(values.get());
        }
        return hash;
    }
}
