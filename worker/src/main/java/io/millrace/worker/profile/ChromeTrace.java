package io.millrace.worker.profile;

import io.millrace.worker.engine.ProfiledStep;
import java.util.List;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * Profiled steps in the trace event format that Chrome's tracing and Perfetto read: a lane of phases and one for each thread of ops, each op with its
 * bytes, operations and share of the roofline.
 */
public final class ChromeTrace {

    private static final int PHASES = 1;
    private static final int OPS = 10;

    private final JsonMapper json = new JsonMapper();
    private final Roofline roofline;

    public ChromeTrace(Roofline roofline) {
        this.roofline = roofline;
    }

    /** The document. */
    public String write(String model, List<ProfiledStep> steps) {
        ObjectNode all = json.createObjectNode().put("displayTimeUnit", "ms");
        ArrayNode events = all.putArray("traceEvents");
        meta(events, "process_name", 0, "engine of " + model);
        meta(events, "thread_name", PHASES, "phases");
        long origin = steps.isEmpty() ? 0 : steps.getFirst().plannedNanos();
        int lanes = 0;
        for (ProfiledStep step : steps) {
            phases(events, step, origin);
            for (ProfiledStep.Ran op : step.ops()) {
                lanes = Math.max(lanes, op.lane() + 1);
                op(events, op, origin);
            }
        }
        for (int lane = 0; lane < lanes; lane++) {
            meta(events, "thread_name", OPS + lane, "ops " + lane);
        }
        all.putObject("otherData")
                .put("model", model)
                .put("steps", steps.size())
                .put("peak_bytes_per_s", roofline.bytesPerS())
                .put("peak_flops_per_s", roofline.flopsPerS());
        return json.writeValueAsString(all);
    }

    private static void meta(ArrayNode events, String kind, int thread, String name) {
        events.addObject()
                .put("name", kind)
                .put("ph", "M")
                .put("pid", 1)
                .put("tid", thread)
                .putObject("args")
                .put("name", name);
    }

    private static void phases(ArrayNode events, ProfiledStep step, long origin) {
        String kind = step.prefillTokens() == 0 ? "decode" : step.decodeRows() == 0 ? "prefill" : "mixed";
        event(
                        events,
                        kind + " step",
                        "step",
                        PHASES,
                        step.plannedNanos() - origin,
                        step.bookedNanos() - step.plannedNanos())
                .put("step", step.step())
                .put("sequences", step.sequences())
                .put("decode_tokens", step.decodeRows())
                .put("prefill_tokens", step.prefillTokens());
        event(events, "plan", "phase", PHASES, step.plannedNanos() - origin, step.calledNanos() - step.plannedNanos());
        event(events, "model", "phase", PHASES, step.calledNanos() - origin, step.returnedNanos() - step.calledNanos());
        event(
                events,
                "book",
                "phase",
                PHASES,
                step.returnedNanos() - origin,
                step.bookedNanos() - step.returnedNanos());
    }

    private void op(ArrayNode events, ProfiledStep.Ran op, long origin) {
        double seconds = Math.max(1, op.nanos()) / 1e9;
        event(events, op.name(), "op", OPS + op.lane(), op.startNanos() - origin, op.nanos())
                .put("rows", op.rows())
                .put("flops", op.work().flops())
                .put("bytes", op.work().bytes())
                .put("gflops_per_s", op.work().flops() / seconds / 1e9)
                .put("gb_per_s", op.work().bytes() / seconds / 1e9)
                .put("roofline_share", roofline.seconds(op.work()) / seconds);
    }

    /** A complete event; its arguments. Times in microseconds. */
    private static ObjectNode event(
            ArrayNode events, String name, String category, int thread, long startNanos, long nanos) {
        return events.addObject()
                .put("name", name)
                .put("cat", category)
                .put("ph", "X")
                .put("pid", 1)
                .put("tid", thread)
                .put("ts", startNanos / 1e3)
                .put("dur", nanos / 1e3)
                .putObject("args");
    }
}
