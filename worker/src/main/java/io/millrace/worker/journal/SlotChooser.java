package io.millrace.worker.journal;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Finds a slot that no live worker reads, by listening to their heartbeats for a moment. */
final class SlotChooser implements LogReader.Listener {

    private static final Logger LOG = LoggerFactory.getLogger(SlotChooser.class);

    private final Set<Integer> taken = ConcurrentHashMap.newKeySet();
    private final CountDownLatch listening = new CountDownLatch(1);

    private SlotChooser() {}

    /**
     * A random one of the free slots, or of all when none is free: sharing a slot costs reading, never correctness. Blocks for
     * {@code listen} and until the log answers.
     */
    static int choose(Log log, String name, Duration listen, Random random) throws InterruptedException {
        int slots = log.partitions(Topic.ASSIGNMENTS);
        var chooser = new SlotChooser();
        LogReader reader = log.reader(name + "-slots", chooser);
        try {
            reader.assign(Topic.WORKERS, 0, LogReader.END);
            chooser.listening.await();
            TimeUnit.NANOSECONDS.sleep(listen.toNanos());
        } finally {
            reader.close();
        }
        int[] free = IntStream.range(0, slots)
                .filter(slot -> !chooser.taken.contains(slot))
                .toArray();
        return free.length > 0 ? free[random.nextInt(free.length)] : random.nextInt(slots);
    }

    @Override
    public void onCaughtUp(Topic topic, int partition, long position) {
        listening.countDown();
    }

    @Override
    public void onRecord(LogRecord record) {
        byte[] value = record.value();
        if (value == null) {
            return;
        }
        try {
            taken.add(WorkerBeat.parseFrom(value).getSlot());
        } catch (InvalidProtocolBufferException e) {
            LOG.debug("what stands at offset {} is not a worker's heartbeat: {}", record.offset(), e.toString());
        }
    }
}
