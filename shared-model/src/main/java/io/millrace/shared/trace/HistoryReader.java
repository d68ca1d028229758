package io.millrace.shared.trace;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.topic.Topic;
import io.millrace.shared.trace.RequestHistory.Dispatched;
import io.millrace.shared.trace.RequestHistory.Journalled;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;

/** Gathers a request's records: scans its partition of {@code requests} and {@code responses}, then the slots its claims name. */
public final class HistoryReader {

    private final Log log;
    private final LogScan scan;

    /** @param patience with each partition that is read */
    public HistoryReader(Log log, Duration patience) {
        this.log = log;
        this.scan = new LogScan(log, patience);
    }

    /**
     * Reads up to the log's end as it is now.
     *
     * @param req where to begin in {@code requests}: the request's offset, or one before it
     * @param begin where to begin in {@code responses}: that of the journal's first record, or one before it
     * @throws MillraceException MR-TRACE-002 no such request stands in the log, MR-TRACE-003 the scan takes too long
     */
    public RequestHistory read(RequestId id, long req, long begin) throws InterruptedException {
        int partitions = log.partitions(Topic.REQUESTS);
        if (id.partition() >= partitions) {
            throw unknown(
                    id, "it names partition " + id.partition() + ", and there are only " + partitions + " partitions");
        }
        List<LogRecord> requests = scan(Topic.REQUESTS, id.partition(), req, id.text());
        List<Journalled> journal = new ArrayList<>();
        for (LogRecord record : scan(Topic.RESPONSES, id.partition(), begin, id.text())) {
            journal.add(new Journalled(record.offset(), record.timestampMs(), parse(record, JournalRecord::parseFrom)));
        }
        for (LogRecord record : requests) {
            RequestRecord request = parse(record, RequestRecord::parseFrom);
            if (request.hasSubmit()) {
                return new RequestHistory(
                        id.text(),
                        id.partition(),
                        record.offset(),
                        request.getSubmit(),
                        record.timestampMs(),
                        journal,
                        dispatches(id, record.offset(), journal),
                        System.currentTimeMillis());
            }
        }
        throw unknown(id, "partition " + id.partition() + " of requests holds no such request, or no longer");
    }

    private static MillraceException unknown(RequestId id, String why) {
        return new MillraceException(
                "MR-TRACE-002",
                "There is no request " + id.text() + " in this log: " + why
                        + ". Check the id, --kafka and millrace.kafka.topic-prefix; records are kept for a day.");
    }

    private List<Dispatched> dispatches(RequestId id, long req, List<Journalled> journal) throws InterruptedException {
        SortedSet<Integer> slots = new TreeSet<>();
        for (Journalled each : journal) {
            if (each.record().hasClaim()) {
                slots.add(each.record().getClaim().getSlot());
            }
        }
        List<Dispatched> all = new ArrayList<>();
        for (int slot : slots) {
            for (LogRecord record : scan(Topic.ASSIGNMENTS, slot, LogReader.BEGINNING, id.text())) {
                Assignment assignment = parse(record, Assignment::parseFrom);
                if (assignment.hasDispatch() && assignment.getReq() == req) {
                    all.add(new Dispatched(slot, record.offset(), record.timestampMs(), assignment));
                }
            }
        }
        return all;
    }

    /** Records with that key and a value, from that offset to the partition's end as it is now. */
    private List<LogRecord> scan(Topic topic, int partition, long from, String key) throws InterruptedException {
        return scan.records(topic, partition, from, record -> key.equals(record.key()) && record.value() != null);
    }

    private interface Parser<T> {
        T parse(byte[] bytes) throws InvalidProtocolBufferException;
    }

    private static <T> T parse(LogRecord record, Parser<T> parser) {
        byte[] value = record.value();
        try {
            return parser.parse(value == null ? new byte[0] : value);
        } catch (InvalidProtocolBufferException e) {
            throw LogScan.malformed(record, e);
        }
    }
}
