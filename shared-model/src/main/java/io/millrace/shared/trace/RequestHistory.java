package io.millrace.shared.trace;

import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Submit;
import java.util.List;

/**
 * Every record of one request that stands in the log.
 *
 * @param req offset of the request in {@code requests}
 * @param submittedMs the broker's time of the request, as all times milliseconds since the epoch
 * @param journal records under the request's key in {@code responses}, in log order, those of zombies among them
 * @param dispatches of it to workers, of those slots that its claims name
 * @param readMs when the log was read
 */
public record RequestHistory(
        String id,
        int partition,
        long req,
        Submit submit,
        long submittedMs,
        List<Journalled> journal,
        List<Dispatched> dispatches,
        long readMs) {

    /** A record of the journal. */
    public record Journalled(long offset, long timestampMs, JournalRecord record) {}

    /** A dispatch to a worker. */
    public record Dispatched(int slot, long offset, long timestampMs, Assignment assignment) {}

    public RequestHistory {
        journal = List.copyOf(journal);
        dispatches = List.copyOf(dispatches);
    }
}
