package io.millrace.worker.journal;

import io.millrace.shared.log.Clock;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.engine.StepReport;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanBuilder;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.context.Context;
import java.util.concurrent.TimeUnit;

/**
 * Traces of an engine's steps: one in {@link Telemetry#stepEvery} is a trace of its own, {@code engine step} over {@code plan} and
 * {@code model}, with links to the requests in it. On the engine's output thread.
 */
final class StepSpans implements StepListener {

    private final Telemetry telemetry;
    private final ExecutionTable table;
    private final Clock clock;
    private final String worker;
    private final String model;

    StepSpans(Telemetry telemetry, ExecutionTable table, Clock clock, String worker, String model) {
        this.telemetry = telemetry;
        this.table = table;
        this.clock = clock;
        this.worker = worker;
        this.model = model;
    }

    @Override
    public boolean wantsExecutions(long step) {
        return telemetry.enabled() && telemetry.stepEvery() > 0 && step % telemetry.stepEvery() == 0;
    }

    @Override
    public void onStep(StepReport report) {
        if (!wantsExecutions(report.step())) {
            return;
        }
        long epochNanos = clock.wallMs() * 1_000_000 - clock.nanos();
        long called = epochNanos + report.startNanos();
        long planned = called - report.planNanos();
        long end = called + report.durationNanos();
        SpanBuilder builder = telemetry
                .tracer()
                .spanBuilder("engine step")
                .setNoParent()
                .setStartTimestamp(planned, TimeUnit.NANOSECONDS)
                .setAttribute("gen_ai.request.model", model)
                .setAttribute("millrace.worker", worker)
                .setAttribute("millrace.step", report.step())
                .setAttribute("millrace.step.sequences", report.sequences())
                .setAttribute("millrace.step.decode_tokens", report.decodeRows())
                .setAttribute("millrace.step.prefill_tokens", report.prefillTokens())
                .setAttribute("millrace.step.preempted", report.preempted())
                .setAttribute("millrace.kv.blocks_used", report.kvBlocksUsed())
                .setAttribute("millrace.kv.blocks_total", report.kvBlocksTotal())
                .setAttribute("millrace.engine.running", report.running())
                .setAttribute("millrace.engine.waiting", report.waiting());
        for (String key : report.executions()) {
            Execution execution = table.find(key);
            if (execution != null && execution.spanContext().isValid()) {
                builder.addLink(execution.spanContext());
            }
        }
        Span step = builder.startSpan();
        Context under = Context.root().with(step);
        phase("plan", under, planned, called);
        phase("model", under, called, end);
        if (report.failed()) {
            step.setStatus(StatusCode.ERROR, "the backend failed");
        }
        step.end(end, TimeUnit.NANOSECONDS);
    }

    private void phase(String name, Context under, long from, long to) {
        telemetry
                .tracer()
                .spanBuilder(name)
                .setParent(under)
                .setStartTimestamp(from, TimeUnit.NANOSECONDS)
                .startSpan()
                .end(to, TimeUnit.NANOSECONDS);
    }
}
