package io.millrace.shared.trace;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Predicate;

/** Reads partitions of the log to their end as it is now. */
public final class LogScan {

    private final Log log;
    private final Duration patience;

    /** @param patience with each partition */
    public LogScan(Log log, Duration patience) {
        this.log = log;
        this.patience = patience;
    }

    /** Those of its records from that offset on that are wanted; throws MR-TRACE-003 when reading takes too long. */
    public List<LogRecord> records(Topic topic, int partition, long from, Predicate<LogRecord> wanted)
            throws InterruptedException {
        List<LogRecord> found = new ArrayList<>();
        CompletableFuture<Void> done = new CompletableFuture<>();
        try (LogReader reader = log.reader("scan", new LogReader.Listener() {
            @Override
            public void onRecord(LogRecord record) {
                if (wanted.test(record)) {
                    found.add(record);
                }
            }

            @Override
            public void onCaughtUp(Topic of, int reached, long position) {
                done.complete(null);
            }
        })) {
            reader.assign(topic, partition, from);
            done.get(patience.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException | ExecutionException e) {
            throw new MillraceException(
                    "MR-TRACE-003",
                    "Partition " + partition + " of " + topic.baseName() + " was not read to its end within "
                            + patience.toSeconds() + " s. Check Kafka, or wait longer with --patience.",
                    e);
        }
        return found;
    }

    /** What to throw for a record that is none of its topic's. */
    public static MillraceException malformed(LogRecord record, Exception cause) {
        return new MillraceException(
                "MR-TRACE-004",
                "The record at offset " + record.offset() + " of "
                        + record.topic().baseName() + "-" + record.partition()
                        + " is malformed. Something else writes to Millrace's topics.",
                cause);
    }
}
