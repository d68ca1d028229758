package io.millrace.worker.engine;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;

/** What {@link CudaEngineTest} checks that a real device can be asked for too. */
public final class CudaEngineChecks {

    private CudaEngineChecks() {}

    /** By name; each throws what is wrong. */
    public static Map<String, Callable<Void>> all() {
        Map<String, Callable<Void>> all = new LinkedHashMap<>();
        all.put("steps planned ahead", () -> {
            new CudaEngineTest().whatIsPlannedAheadGivesTheBitsOfOneStepAtATime();
            return null;
        });
        all.put("swap", () -> {
            new CudaEngineTest().whatIsSwappedToTheHostWhileStepsAreUnderWayGivesTheSameBits();
            return null;
        });
        return all;
    }
}
