package io.millrace.worker.engine;

import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;

/** Everybody who hears of the steps of one engine. Thread-safe. */
final class StepListeners implements StepListener {

    private final List<StepListener> all = new CopyOnWriteArrayList<>();

    StepListeners(StepListener first) {
        all.add(first);
    }

    /** The result takes it off again. */
    Runnable add(StepListener listener) {
        all.add(listener);
        return () -> all.remove(listener);
    }

    @Override
    public void onStep(StepReport report) {
        for (StepListener each : all) {
            each.onStep(report);
        }
    }

    @Override
    public boolean wantsExecutions(long step) {
        for (StepListener each : all) {
            if (each.wantsExecutions(step)) {
                return true;
            }
        }
        return false;
    }
}
