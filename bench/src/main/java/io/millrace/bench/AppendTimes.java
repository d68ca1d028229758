package io.millrace.bench;

import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.topic.Topic;
import java.util.Arrays;

/** When the broker appended each record of the journals, by its clock; from where the log ends when this begins. Thread-safe. */
final class AppendTimes implements AutoCloseable {

    /** Times of one partition by offset, from the first that is known. */
    private static final class Times {
        long first = -1;
        long[] ms = new long[1 << 16];
    }

    private final KafkaLog log;
    private final LogReader reader;
    private final Times[] partitions;

    AppendTimes(String bootstrap, int partitions) {
        this.partitions = new Times[partitions];
        for (int i = 0; i < partitions; i++) {
            this.partitions[i] = new Times();
        }
        log = new KafkaLog(KafkaSettings.of(bootstrap).withClientId("bench-appends"));
        reader = log.reader("bench-appends", this::read);
        for (int i = 0; i < partitions; i++) {
            reader.assign(Topic.RESPONSES, i, LogReader.BEGINNING);
        }
    }

    private void read(LogRecord record) {
        Times times = partitions[record.partition()];
        synchronized (times) {
            times.first = times.first < 0 ? record.offset() : times.first;
            int at = (int) (record.offset() - times.first);
            if (at >= times.ms.length) {
                times.ms = Arrays.copyOf(times.ms, 2 * at);
            }
            times.ms[at] = record.timestampMs();
        }
    }

    /** Milliseconds since the epoch; 0 when that record is not known. */
    long of(int partition, long offset) {
        Times times = partitions[partition];
        synchronized (times) {
            long at = offset - times.first;
            return times.first < 0 || at < 0 || at >= times.ms.length ? 0 : times.ms[(int) at];
        }
    }

    @Override
    public void close() {
        reader.close();
        log.close();
    }
}
