package io.millrace.worker.backend.torch;

import io.millrace.worker.model.config.RopeFrequencies;

/** Cosines and sines of positions, computed when first asked for. Confined to the engine's thread. */
final class RopeTable {

    private static final int PAGE = 256;

    private final RopeFrequencies frequencies;
    private final float[][] cos;
    private final float[][] sin;

    RopeTable(RopeFrequencies frequencies, int maxPositions) {
        this.frequencies = frequencies;
        int pages = (maxPositions + PAGE - 1) / PAGE;
        this.cos = new float[pages][];
        this.sin = new float[pages][];
    }

    /** Values of a turned pair: half the turned dimensions. */
    int half() {
        return frequencies.inverse().length;
    }

    /**
     * Writes a position's factors for both members of each pair at {@code offset}: cosines, and sines with the sign that the
     * partner's value is to be added with.
     */
    void write(int position, boolean pairs, float[] cosOut, float[] sinOut, int offset) {
        int page = position / PAGE;
        if (cos[page] == null) {
            fill(page);
        }
        int half = half();
        int from = position % PAGE * half;
        for (int i = 0; i < half; i++) {
            int first = offset + (pairs ? 2 * i : i);
            int second = offset + (pairs ? 2 * i + 1 : half + i);
            float c = cos[page][from + i];
            float s = sin[page][from + i];
            cosOut[first] = c;
            cosOut[second] = c;
            sinOut[first] = -s;
            sinOut[second] = s;
        }
    }

    private void fill(int page) {
        int half = half();
        float[] c = new float[PAGE * half];
        float[] s = new float[PAGE * half];
        for (int i = 0; i < PAGE; i++) {
            frequencies.turn(page * PAGE + i, c, s, i * half);
        }
        cos[page] = c;
        sin[page] = s;
    }
}
