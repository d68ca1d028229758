package io.millrace.worker.backend.torch;

import ai.djl.pytorch.engine.PtNDArray;
import ai.djl.pytorch.engine.PtNDManager;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Scalars as arrays: making one anew for each op costs more than the op. Thread-safe. */
final class Constants {

    private final PtNDManager manager;
    private final Map<Float, PtNDArray> values = new ConcurrentHashMap<>();

    Constants(PtNDManager manager) {
        this.manager = manager;
    }

    PtNDArray of(float value) {
        return values.computeIfAbsent(value, v -> Pt.floats(manager, new float[] {v}));
    }
}
