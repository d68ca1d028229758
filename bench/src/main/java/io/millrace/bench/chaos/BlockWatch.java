package io.millrace.bench.chaos;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** Reads the workers' beats and says, once no request is left, who has not given its KV blocks back. */
final class BlockWatch {

    private static final long QUIET_S_MAX = 60;
    private static final int POLL_MS = 100;

    private BlockWatch() {}

    /**
     * What that many workers hold when nothing runs; waits for their beats, and for whatever still ends.
     *
     * @return what is wrong; empty when every block is free again
     */
    static List<String> leaks(String bootstrap, int workers) throws InterruptedException {
        HeldBlocks held = new HeldBlocks();
        long beganMs = System.currentTimeMillis();
        try (KafkaLog log = new KafkaLog(KafkaSettings.of(bootstrap).withClientId("chaos-blocks"));
                LogReader reader = log.reader("chaos-blocks", record -> read(record, held))) {
            reader.assign(Topic.WORKERS, 0, LogReader.END);
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(QUIET_S_MAX);
            while (held.workersSince(beganMs) < workers
                    || !held.heldSince(beganMs).isEmpty()) {
                if (System.nanoTime() - end > 0) {
                    return told(held, beganMs, workers);
                }
                TimeUnit.MILLISECONDS.sleep(POLL_MS);
            }
        }
        return List.of();
    }

    private static List<String> told(HeldBlocks held, long sinceMs, int workers) {
        List<String> wrong = new ArrayList<>(held.heldSince(sinceMs));
        if (held.workersSince(sinceMs) < workers) {
            wrong.add("beats of only " + held.workersSince(sinceMs) + " of " + workers + " workers");
        }
        return wrong;
    }

    private static void read(LogRecord record, HeldBlocks held) {
        byte[] value = record.value();
        if (value == null) {
            return;
        }
        try {
            held.heard(WorkerBeat.parseFrom(value), record.timestampMs());
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException("a beat that is none at offset " + record.offset(), e);
        }
    }
}
