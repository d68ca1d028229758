package io.millrace.gateway.node;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Queue;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** The hub against a reader whose steps the test takes one by one. */
class JournalHubTest {

    private final SteppedReader reader = new SteppedReader();
    private final JournalHub hub = new JournalHub(reader);

    @Test
    void aPartitionIsReadyOnlyOnceItsOwnAssignmentIsCarriedOut() {
        CompletableFuture<Void> first = hub.use(3);
        assertThat(first).isNotDone();
        reader.round();
        assertThat(first).isDone();
        hub.release(3);
        CompletableFuture<Void> again = hub.use(3);
        // The reader has not heard of either yet, and still reports the partition as it was.
        reader.reportCaughtUp();
        assertThat(again).isNotDone();
        reader.round();
        assertThat(again).isDone();
    }

    @Test
    void aPartitionIsReadAsLongAsSomebodyUsesIt() {
        hub.use(1);
        hub.use(1);
        reader.round();
        hub.release(1);
        reader.round();
        assertThat(reader.assigned).containsExactly(1);
        hub.keep(Set.of(1));
        hub.release(1);
        reader.round();
        assertThat(reader.assigned).containsExactly(1);
        hub.keep(Set.of(2));
        reader.round();
        assertThat(reader.assigned).containsExactly(2);
    }

    @Test
    void aSubscriberThatThrowsHearsOfItAndOthersGoOn() {
        Probe bad = new Probe(true);
        Probe good = new Probe(false);
        hub.subscribe("bad", bad);
        hub.subscribe("good", good);
        reader.deliver("bad");
        reader.deliver("good");
        reader.tick();
        assertThat(bad.faults).isGreaterThanOrEqualTo(2);
        assertThat(good.faults).isZero();
        assertThat(good.events).containsExactly("record", "flush");
    }

    @Test
    void whoeverComesAfterTheEndHearsSoAtOnce() {
        Probe early = new Probe(false);
        hub.subscribe("early", early);
        hub.close();
        assertThat(early.events).containsExactly("closed");
        Probe late = new Probe(false);
        hub.subscribe("late", late);
        assertThat(late.events).containsExactly("closed");
        assertThat(hub.size()).isZero();
        hub.close();
        assertThat(early.events).containsExactly("closed");
        assertThat(hub.use(2)).isNotDone();
    }

    private static final class Probe implements JournalHub.Subscriber {

        private final boolean throwing;
        private final List<String> events = new ArrayList<>();
        private int faults;

        Probe(boolean throwing) {
            this.throwing = throwing;
        }

        private void happens(String event) {
            events.add(event);
            if (throwing) {
                throw new IllegalStateException("a fault of the test's");
            }
        }

        @Override
        public void onRecord(String key, LogRecord record) {
            happens("record");
        }

        @Override
        public void onFlush() {
            happens("flush");
        }

        @Override
        public void onTick(long nowNanos) {}

        @Override
        public void onLost(int partition) {}

        @Override
        public void onFault() {
            faults++;
        }

        @Override
        public void onClosed() {
            happens("closed");
        }
    }

    /** A log with one reader, which does what it was told only when the test says so, as a reader's thread may. */
    private static final class SteppedReader implements Log, LogReader {

        private final Queue<Runnable> tasks = new ArrayDeque<>();
        private final Set<Integer> assigned = new HashSet<>();
        private LogReader.@Nullable Listener listener;

        private LogReader.Listener listener() {
            LogReader.Listener known = listener;
            if (known == null) {
                throw new IllegalStateException("no reader was made");
            }
            return known;
        }

        void round() {
            for (Runnable task = tasks.poll(); task != null; task = tasks.poll()) {
                task.run();
            }
            reportCaughtUp();
        }

        void reportCaughtUp() {
            List.copyOf(assigned).forEach(partition -> listener().onCaughtUp(Topic.RESPONSES, partition, 0));
        }

        void deliver(String key) {
            listener().onRecord(new LogRecord(Topic.RESPONSES, 0, 0, 0, key, new byte[0]));
        }

        void tick() {
            listener().onTick();
        }

        @Override
        public LogReader reader(String name, LogReader.Listener its) {
            listener = its;
            return this;
        }

        @Override
        public void assign(Topic topic, int partition, long fromOffset) {
            tasks.add(() -> assigned.add(partition));
        }

        @Override
        public void unassign(Topic topic, int partition) {
            tasks.add(() -> assigned.remove(partition));
        }

        @Override
        public void execute(Runnable task) {
            tasks.add(task);
        }

        @Override
        public void executeLater(Runnable task) {
            execute(task);
        }

        @Override
        public CompletableFuture<Long> append(
                Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace) {
            throw new UnsupportedOperationException("the hub only reads");
        }

        @Override
        public int partitions(Topic topic) {
            return 4;
        }

        @Override
        public void close() {}
    }
}
