package io.millrace.gateway.node;

import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Reads what was written long ago: a bounded number of readers, each of which carries out one scan at a time; the others wait,
 * a bounded number too. Thread-safe.
 */
public final class LogScans implements AutoCloseable {

    /** A stretch of a partition to be read. All but {@link #closed} comes on the thread of its reader. */
    interface Scan {

        Topic topic();

        int partition();

        /** Where to begin; asked once, when it does. */
        long from();

        void record(LogRecord record);

        /**
         * All records read so far were handed over.
         *
         * @param position the next offset
         * @param caughtUp there was nothing more
         * @return whether to read on
         */
        boolean round(long position, boolean caughtUp);

        /** Retention has taken records that were wanted: the scan is over. */
        void lost();

        /** It failed, or nothing is read any more: the scan is over. */
        void closed();
    }

    private static final Logger LOG = LoggerFactory.getLogger(LogScans.class);

    private final Log log;
    private final int readersMax;
    private final int waitingMax;
    private final List<Reader> readers = new ArrayList<>();
    private final ArrayDeque<Reader> idle = new ArrayDeque<>();
    private final ArrayDeque<Scan> waiting = new ArrayDeque<>();
    private volatile boolean closed;

    /**
     * @param readersMax scans carried out at a time, each with a Kafka consumer and a thread
     * @param waitingMax scans that may wait for their turn
     */
    public LogScans(Log log, int readersMax, int waitingMax) {
        this.log = log;
        this.readersMax = readersMax;
        this.waitingMax = waitingMax;
    }

    /** Begins the scan, soon; false when too many wait already. */
    boolean submit(Scan scan) {
        Reader free;
        synchronized (this) {
            if (closed) {
                return false;
            }
            if (idle.isEmpty() && readers.size() == readersMax) {
                return waiting.size() < waitingMax && waiting.add(scan);
            }
            free = idle.isEmpty() ? new Reader(readers.size()) : idle.pop();
        }
        free.begin(scan);
        return true;
    }

    /** Scans that are read now. */
    public synchronized int running() {
        return readers.size() - idle.size();
    }

    /** Scans that wait for a reader. */
    public synchronized int waiting() {
        return waiting.size();
    }

    boolean isClosed() {
        return closed;
    }

    @Override
    public void close() {
        List<Scan> left;
        List<Reader> all;
        synchronized (this) {
            closed = true;
            left = List.copyOf(waiting);
            waiting.clear();
            all = List.copyOf(readers);
        }
        left.forEach(Scan::closed);
        all.forEach(Reader::close);
    }

    private synchronized @Nullable Scan next(Reader reader) {
        Scan next = waiting.poll();
        if (next == null) {
            idle.push(reader);
        }
        return next;
    }

    /** One reader; its fields belong to its thread. */
    private final class Reader implements LogReader.Listener {

        private final LogReader reader;
        private @Nullable Scan current;
        private long position;
        private boolean caughtUp;
        private boolean news;

        Reader(int number) {
            reader = log.reader("scan-" + number, this);
            readers.add(this);
        }

        void begin(Scan scan) {
            reader.execute(() -> {
                current = scan;
                position = scan.from();
                caughtUp = false;
                news = false;
                reader.assign(scan.topic(), scan.partition(), position);
            });
        }

        @Override
        public void onRecord(LogRecord record) {
            Scan scan = current;
            if (scan != null && scan.partition() == record.partition() && scan.topic() == record.topic()) {
                position = record.offset() + 1;
                news = true;
                try {
                    scan.record(record);
                } catch (RuntimeException e) {
                    failed(scan, e);
                }
            }
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long at) {
            if (current != null) {
                position = Math.max(position, at);
                caughtUp = true;
            }
        }

        @Override
        public void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {
            Scan scan = current;
            if (scan != null) {
                finish(scan);
                scan.lost();
            }
        }

        @Override
        public void onTick() {
            Scan scan = current;
            if (scan == null || !(news || caughtUp)) {
                return;
            }
            boolean end = caughtUp;
            news = false;
            caughtUp = false;
            try {
                if (!scan.round(position, end)) {
                    finish(scan);
                }
            } catch (RuntimeException e) {
                failed(scan, e);
            }
        }

        private void failed(Scan scan, RuntimeException failure) {
            LOG.error("a scan of {}-{} failed", scan.topic(), scan.partition(), failure);
            finish(scan);
            scan.closed();
        }

        private void finish(Scan scan) {
            current = null;
            reader.unassign(scan.topic(), scan.partition());
            Scan next = next(this);
            if (next != null) {
                begin(next);
            }
        }

        void close() {
            reader.close();
            Scan scan = current;
            current = null;
            if (scan != null) {
                scan.closed();
            }
        }
    }
}
