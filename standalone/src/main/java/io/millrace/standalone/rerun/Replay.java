package io.millrace.standalone.rerun;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.trace.HistoryReader;
import io.millrace.shared.trace.RequestHistory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** Runs a request of the log once more and compares the two, from the log alone: a router and a worker must run, a gateway need not. */
public final class Replay {

    private final Log log;
    private final Duration patience;

    /** What came of it: a line for people, and 0 equal, 3 different, 4 not to be compared. */
    public record Said(List<String> lines, int status) {}

    public Replay(Log log, Duration patience) {
        this.log = log;
        this.patience = patience;
    }

    /**
     * Replays it.
     *
     * @throws MillraceException MR-TRACE-002 no such request, MR-RERUN-001 it has not ended yet, MR-RERUN-002 the replay does not end
     */
    public Said run(RequestId id) throws InterruptedException {
        RequestHistory history = new HistoryReader(log, patience).read(id, LogReader.BEGINNING, LogReader.BEGINNING);
        Outcome before = outcome(history);
        if (before.status().equals(Outcome.RUNNING)) {
            throw new MillraceException(
                    "MR-RERUN-001",
                    "Request " + id.text() + " has not ended yet. Wait for its end, or stop it, and replay it then.");
        }
        Submit submit = history.submit();
        if (submit.getTask() != Submit.Task.GENERATE || !before.status().equals(Outcome.COMPLETED)) {
            Comparison no = submit.getTask() == Submit.Task.GENERATE
                    ? Comparison.of(before, before)
                    : new Comparison.Incomparable(
                            "it generates no text; chats, completions and responses are replayed");
            return said(no, List.of());
        }
        RequestId fresh = RequestId.random(id.partition());
        Rerun.Ran ran = new Rerun(log, patience)
                .run(fresh, Rerun.again(submit).setStore(false).build());
        return said(
                Comparison.of(before, ran.outcome()),
                List.of("replayed %s as %s: model %s, seed %s, weights %016x, numerics %s"
                        .formatted(
                                id.text(),
                                fresh.text(),
                                ran.outcome().model(),
                                Long.toUnsignedString(submit.getSeed()),
                                ran.outcome().weightsHash(),
                                ran.outcome().numericsId())));
    }

    private static Said said(Comparison comparison, List<String> before) {
        int status = switch (comparison) {
            case Comparison.Equal equal -> 0;
            case Comparison.Differs differs -> 3;
            case Comparison.Incomparable no -> 4;
        };
        List<String> lines = new ArrayList<>(before);
        lines.add(comparison.line());
        return new Said(List.copyOf(lines), status);
    }

    private static Outcome outcome(RequestHistory history) {
        var journal = new Outcome.Gathering(history.id(), history.req());
        for (RequestHistory.Journalled each : history.journal()) {
            journal.add(each.offset(), each.timestampMs(), each.record());
        }
        return journal.outcome();
    }
}
