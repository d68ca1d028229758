package io.millrace.gateway.node;

import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Brings journals' earlier records to whoever follows them from their beginning. All that wait for one partition share one
 * scan of it, so that the clients of a lost gateway cost as many scans as it had partitions. Thread-safe.
 */
final class JournalScans {

    private static final Logger LOG = LoggerFactory.getLogger(JournalScans.class);

    /** Wants earlier records. */
    interface Member {

        int partition();

        Set<String> keys();

        /** First offset that it has not seen; asked on any thread. */
        long from();

        /**
         * The next records of its keys, on the hub's thread.
         *
         * @param position everything below was handed over
         * @param caughtUp there was nothing more
         * @return whether it wants more of this scan
         */
        boolean history(List<LogRecord> records, long position, boolean caughtUp);

        /** Retention has taken what it wants; on the hub's thread. */
        void historyLost();

        /** Its scan was given up; on the hub's thread. */
        void historyFailed();
    }

    private final LogScans scans;
    private final JournalHub hub;
    private final Map<Integer, Shared> waiting = new HashMap<>();

    JournalScans(LogScans scans, JournalHub hub) {
        this.scans = scans;
        this.hub = hub;
    }

    /** Takes the member along; false when too many scans wait already. */
    boolean join(Member member) {
        Shared scan;
        synchronized (waiting) {
            Shared before = waiting.get(member.partition());
            if (before != null) {
                before.add(member);
                return true;
            }
            scan = new Shared(member.partition());
            scan.add(member);
            waiting.put(member.partition(), scan);
        }
        if (scans.submit(scan)) {
            return true;
        }
        synchronized (waiting) {
            waiting.remove(member.partition(), scan);
        }
        // Whoever joined meanwhile hears so; the member itself by the answer.
        scan.members.remove(member);
        scan.closed();
        return false;
    }

    private final class Shared implements LogScans.Scan {

        private final int partition;
        private final Map<Member, List<LogRecord>> members = new HashMap<>();
        private final Map<String, List<Member>> byKey = new HashMap<>();

        Shared(int partition) {
            this.partition = partition;
        }

        void add(Member member) {
            members.put(member, new ArrayList<>());
            member.keys()
                    .forEach(key -> byKey.computeIfAbsent(key, same -> new ArrayList<>())
                            .add(member));
        }

        @Override
        public Topic topic() {
            return Topic.RESPONSES;
        }

        @Override
        public int partition() {
            return partition;
        }

        @Override
        public long from() {
            synchronized (waiting) {
                waiting.remove(partition, this);
            }
            return members.keySet().stream().mapToLong(Member::from).min().orElse(0);
        }

        @Override
        public void record(LogRecord record) {
            for (Member each : byKey.getOrDefault(record.key(), List.of())) {
                List<LogRecord> records = members.get(each);
                if (records != null && record.offset() >= each.from()) {
                    records.add(record);
                }
            }
        }

        @Override
        public boolean round(long position, boolean caughtUp) {
            List<Member> gone = new ArrayList<>();
            if (onHub(() -> members.forEach((member, records) -> {
                if (!hand(member, records, position, caughtUp)) {
                    gone.add(member);
                }
            }))) {
                members.values().forEach(List::clear);
                gone.forEach(members::remove);
                return !members.isEmpty();
            }
            return false;
        }

        private static boolean hand(Member member, List<LogRecord> records, long position, boolean caughtUp) {
            try {
                return member.history(records, position, caughtUp);
            } catch (RuntimeException e) {
                LOG.error("a resumed call failed on a record of its journal", e);
                member.historyFailed();
                return false;
            }
        }

        @Override
        public void lost() {
            onHub(() -> members.keySet().forEach(Member::historyLost));
        }

        @Override
        public void closed() {
            List<Member> left = List.copyOf(members.keySet());
            hub.execute(() -> left.forEach(Member::historyFailed));
        }

        /** Runs it on the hub's thread, and waits: a scan is never ahead of those it reads for. False once the hub is closed. */
        private boolean onHub(Runnable task) {
            var done = new CountDownLatch(1);
            hub.execute(() -> {
                try {
                    task.run();
                } finally {
                    done.countDown();
                }
            });
            try {
                while (!done.await(100, TimeUnit.MILLISECONDS)) {
                    if (hub.isClosed() || scans.isClosed()) {
                        return false;
                    }
                }
                return true;
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                return false;
            }
        }
    }
}
