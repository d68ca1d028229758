package io.millrace.bench.chaos;

import io.millrace.bench.Results;
import java.io.PrintWriter;
import java.util.List;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/** A report as a table, and as JSON. */
final class ChaosTable {

    private static final int SHOWN_MAX = 20;

    private ChaosTable() {}

    static void print(ChaosReport report, PrintWriter out) {
        out.printf("%n%-22s %6s %6s %7s", "fault", "faults", "open", "through");
        for (Phase phase : Phase.values()) {
            out.printf(" %10s", phase.words().replace("before admission", "before"));
        }
        out.printf(" %27s %19s %7s%n", "stall p50/p99/max ms", "steady p50/max s", "fences");
        for (ChaosReport.Row row : report.rows()) {
            out.printf("%-22s %6d %6d %7d", row.kind().words(), row.faults(), row.open(), row.through());
            for (Phase phase : Phase.values()) {
                out.printf(" %10d", row.phases().getOrDefault(phase, 0));
            }
            out.printf(
                    " %27s %19s %7d%n",
                    "%.0f/%.0f/%.0f"
                            .formatted(
                                    row.stall().p50(),
                                    row.stall().p99(),
                                    row.stall().max()),
                    "%.1f/%.1f".formatted(row.steady().p50() / 1e3, row.steady().max() / 1e3),
                    row.fences());
        }
        Judgement judged = report.judgement();
        out.printf("%n%d of %d pairs of fault and phase met a stream", report.pairsMet(), report.pairs());
        out.printf(
                "%n%d faults in %.0f s met %d open streams (%d different ones) of %d; clients came back %d times%n",
                report.struck().size(),
                report.seconds(),
                report.openAtFaults(),
                report.differentStreams(),
                report.streams(),
                report.reconnections());
        out.printf(
                "tokens lost %d, doubled %d, spliced %d; whole answers %d, wrong %d, failed %d; ends %s%n",
                judged.tokensLost(),
                judged.tokensDoubled(),
                judged.tokensSpliced(),
                judged.whole(),
                judged.wrong().size(),
                judged.failed().size(),
                judged.ends());
        ChaosReport.Times stalls = report.stalls();
        out.printf(
                "client stall p50 %.0f ms, p99 %.0f ms, max %.0f ms; steady after p50 %.1f s, max %.1f s%n",
                stalls.p50(),
                stalls.p99(),
                stalls.max(),
                report.steady().p50() / 1e3,
                report.steady().max() / 1e3);
        out.printf(
                "goodput %.1f events/s, %.1f undisturbed, floor %.1f; fences of brokers' faults %d%n",
                report.disturbedPerS(), report.undisturbedPerS(), report.floorPerS(), report.fencesOfBrokers());
        List<String> violations = report.violations();
        violations.stream().limit(SHOWN_MAX).forEach(each -> out.println("VIOLATION " + each));
        out.println(violations.isEmpty() ? "Nothing lost." : violations.size() + " violations");
        out.flush();
    }

    static ObjectNode json(ChaosReport report) {
        Results results = new Results();
        ObjectNode all = results.object().put("bench", "chaos");
        ChaosSetup setup = report.setup();
        all.putObject("setup")
                .put("brokers", setup.brokers())
                .put("routers", setup.routers())
                .put("gateways", setup.gateways())
                .put("workers", setup.workers())
                .put("model", setup.model())
                .put("max_running", setup.maxRunning())
                .put("mock_step_ms", setup.mockStepMs());
        Judgement judged = report.judgement();
        all.put("faults", report.struck().size())
                .put("seconds", Math.round(report.seconds()))
                .put("streams", report.streams())
                .put("open_at_faults", report.openAtFaults())
                .put("different_streams_at_faults", report.differentStreams())
                .put("pairs_met", report.pairsMet())
                .put("pairs", report.pairs())
                .put("reconnections", report.reconnections())
                .put("whole", judged.whole())
                .put("wrong", judged.wrong().size())
                .put("failed", judged.failed().size())
                .put("tokens_lost", judged.tokensLost())
                .put("tokens_doubled", judged.tokensDoubled())
                .put("tokens_spliced", judged.tokensSpliced())
                .put("goodput_per_s", report.disturbedPerS())
                .put("undisturbed_per_s", report.undisturbedPerS())
                .put("fences_of_brokers_faults", report.fencesOfBrokers())
                .put("keys_of_several_ids", report.watch().keysOfSeveralIds())
                .put("workers_that_hold_blocks", report.leaks().size());
        put(all.putObject("stall_ms"), report.stalls());
        put(all.putObject("steady_ms"), report.steady());
        ObjectNode ends = all.putObject("ends");
        judged.ends().forEach(ends::put);
        ObjectNode ignored = all.putObject("ignored_records");
        report.watch().ignored().forEach(ignored::put);
        ArrayNode rows = all.putArray("kinds");
        report.rows().forEach(row -> rows.add(row(results.object(), row)));
        ArrayNode list = all.putArray("list");
        for (Struck each : report.struck()) {
            list.add(results.object()
                    .put("fault", each.kind().words())
                    .put("aimed_at", each.aimed().words())
                    .put("load", each.load().words())
                    .put("node", each.node())
                    .put("open", each.open().size())
                    .put("steady_ms", each.steadyNanos() / 1_000_000));
        }
        ArrayNode violations = all.putArray("violations");
        report.violations().forEach(violations::add);
        return all;
    }

    private static ObjectNode row(ObjectNode json, ChaosReport.Row row) {
        json.put("fault", row.kind().words())
                .put("faults", row.faults())
                .put("open", row.open())
                .put("through", row.through())
                .put("fences", row.fences());
        ObjectNode phases = json.putObject("phases");
        row.phases().forEach((phase, count) -> phases.put(phase.words(), count));
        put(json.putObject("stall_ms"), row.stall());
        put(json.putObject("steady_ms"), row.steady());
        return json;
    }

    private static void put(ObjectNode json, ChaosReport.Times times) {
        json.put("count", times.count())
                .put("p50", Math.round(times.p50()))
                .put("p99", Math.round(times.p99()))
                .put("max", Math.round(times.max()));
    }
}
