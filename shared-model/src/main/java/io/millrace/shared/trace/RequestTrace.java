package io.millrace.shared.trace;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import java.time.Duration;
import java.util.List;

/** A request's trace from the log alone: where it was, when, and what that took. Needs no part running but the log. */
public final class RequestTrace {

    private final Log log;
    private final Duration patience;

    /** @param patience with the log, for each partition that is read */
    public RequestTrace(Log log, Duration patience) {
        this.log = log;
        this.patience = patience;
    }

    /** The id of a request in what a person knows of it; throws MR-TRACE-001 when it is none. */
    public static RequestId parse(String id) {
        if (id.strip().startsWith("batch_") || id.strip().startsWith("file-")) {
            throw new MillraceException(
                    "MR-TRACE-001",
                    "'" + id + "' is no request: a batch is as many of them as it has lines. Give the id of a line's"
                            + " answer, as the batch's output file has it.");
        }
        try {
            return RequestId.parse(id.strip());
        } catch (IllegalArgumentException e) {
            throw new MillraceException(
                    "MR-TRACE-001",
                    "'" + id
                            + "' is no request id. Give the id of an answer (chatcmpl-..., cmpl-..., resp_...), or its 36"
                            + " hex digits.",
                    e);
        }
    }

    /**
     * Lines for a terminal.
     *
     * @throws MillraceException MR-TRACE-002 no such request, MR-TRACE-003 the log is too slow, MR-TRACE-004 a malformed record
     */
    public List<String> lines(RequestId id) throws InterruptedException {
        return StoryText.lines(story(id, LogReader.BEGINNING, LogReader.BEGINNING));
    }

    /**
     * The same for programs.
     *
     * @param req offset in {@code requests} from which to look for it
     * @param begin offset in {@code responses} from which to look for its journal
     * @throws MillraceException as {@link #lines}
     */
    public Story story(RequestId id, long req, long begin) throws InterruptedException {
        return StoryTeller.tell(new HistoryReader(log, patience).read(id, req, begin));
    }
}
