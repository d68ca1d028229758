package io.millrace.worker.engine;

import io.millrace.worker.backend.ModelRuntime;
import java.util.List;

/**
 * What the engine's loop tells of its steps: events of the flight recorder, reports to the step listener, and the load. Confined to
 * the engine's thread.
 */
final class StepRecords {

    private final EngineConfig config;
    private final ModelRuntime runtime;
    private final Scheduler scheduler;
    private final Rates rates;
    private final Outputs outputs;
    private final StepListener listener;
    private long steps;
    /** Of the last step. */
    private HostTimes host = HostTimes.NONE;

    StepRecords(
            EngineConfig config,
            ModelRuntime runtime,
            Scheduler scheduler,
            Rates rates,
            Outputs outputs,
            StepListener listener) {
        this.config = config;
        this.runtime = runtime;
        this.scheduler = scheduler;
        this.rates = rates;
        this.outputs = outputs;
        this.listener = listener;
    }

    /** That have ended so far, failed ones too: the number of the last. */
    long steps() {
        return steps;
    }

    /** Goes into the next report. */
    void host(HostTimes times) {
        host = times;
    }

    void planned(ScheduleEvent event, Step step) {
        event.end();
        if (event.shouldCommit()) {
            event.model = config.model();
            event.rows = step.rows();
            event.running = scheduler.running();
            event.waiting = scheduler.waiting();
            event.preempted = step.preempted();
            event.commit();
        }
    }

    /**
     * A step is over.
     *
     * @param begun when its own time began: its call, or the end of the step before
     * @param nanos that it took since
     */
    void ended(Flight flight, long begun, long nanos, boolean failed) {
        flight.event().end();
        steps++;
        commit(flight.event(), flight.step(), failed);
        report(flight.step(), flight.planned(), begun, nanos, failed);
    }

    private void commit(StepEvent event, Step step, boolean failed) {
        if (event.shouldCommit()) {
            event.model = config.model();
            event.step = steps;
            event.sequences = step.parts().size();
            event.decodeTokens = step.decodeRows();
            event.prefillTokens = step.rows() - step.decodeRows();
            event.kvBlocksUsed =
                    scheduler.cache().totalBlocks() - scheduler.cache().availableBlocks();
            event.failed = failed;
            event.commit();
        }
    }

    private void report(Step step, long planned, long started, long nanos, boolean failed) {
        KvCache cache = scheduler.cache();
        StepReport report = new StepReport(
                steps,
                step.parts().size(),
                step.decodeRows(),
                step.rows() - step.decodeRows(),
                started,
                nanos,
                started - planned,
                host,
                cache.totalBlocks() - cache.availableBlocks(),
                cache.totalBlocks(),
                scheduler.running(),
                scheduler.waiting(),
                step.preempted(),
                failed,
                listener.wantsExecutions(steps) ? keys(step) : List.of());
        outputs.add(() -> listener.onStep(report));
    }

    private static List<String> keys(Step step) {
        return step.parts().stream()
                .map(part -> part.sequence().group().request().key())
                .distinct()
                .toList();
    }

    /** As it is now. */
    EngineLoad load(long generatedTokens) {
        KvCache cache = scheduler.cache();
        HostPools pools = cache.host();
        return new EngineLoad(
                scheduler.running(),
                scheduler.waiting(),
                config.maxRunning(),
                cache.totalBlocks(),
                cache.availableBlocks(),
                cache.blockTokens(),
                scheduler.queuedPrefillTokens(),
                rates.prefillTokensPerS(),
                rates.decodeStepS(),
                steps,
                scheduler.preemptions(),
                scheduler.prefixQueries(),
                scheduler.prefixHits(),
                generatedTokens,
                new EngineLoad.Host(
                        pools.blocks(),
                        pools.used(),
                        pools.swappedOut(),
                        pools.swappedIn(),
                        runtime.swapSeconds(),
                        runtime.copiedRows()));
    }
}
