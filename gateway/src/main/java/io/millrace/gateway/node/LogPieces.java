package io.millrace.gateway.node;

import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Reads the records of a key a piece at a time, so that whoever reads decides when the next one comes. Thread-safe. */
public final class LogPieces {

    private final LogScans scans;

    /**
     * Some records, in order.
     *
     * @param next offset at which the next piece begins
     * @param end there was nothing more
     */
    public record Piece(List<LogRecord> records, long next, boolean end) {}

    /** Retention has taken records that were wanted. */
    public static final class GoneException extends RuntimeException {
        private static final long serialVersionUID = 1L;

        GoneException() {
            super("the log no longer keeps it", null, false, false);
        }
    }

    public LogPieces(LogScans scans) {
        this.scans = scans;
    }

    /**
     * Reads from that offset on until so many bytes have come, or the end; fails with {@link GoneException}, or {@link
     * ApiException} 503.
     */
    public CompletableFuture<Piece> read(Topic topic, int partition, String key, long from, int bytesMax) {
        var scan = new PieceScan(topic, partition, key, from, bytesMax);
        if (!scans.submit(scan)) {
            scan.piece.completeExceptionally(new ApiException(GatewayErrors.tooManyResumes()));
        }
        return scan.piece;
    }

    private static final class PieceScan implements LogScans.Scan {

        private final CompletableFuture<Piece> piece = new CompletableFuture<>();
        private final List<LogRecord> records = new ArrayList<>();
        private final Topic topic;
        private final int partition;
        private final String key;
        private final long from;
        private final int bytesMax;
        private long bytes;
        private long next;

        PieceScan(Topic topic, int partition, String key, long from, int bytesMax) {
            this.topic = topic;
            this.partition = partition;
            this.key = key;
            this.from = from;
            this.bytesMax = bytesMax;
            this.next = from;
        }

        @Override
        public Topic topic() {
            return topic;
        }

        @Override
        public int partition() {
            return partition;
        }

        @Override
        public long from() {
            return from;
        }

        @Override
        public void record(LogRecord record) {
            byte[] value = record.value();
            if (bytes < bytesMax) {
                next = record.offset() + 1;
                if (value != null && record.key().equals(key)) {
                    records.add(record);
                    bytes += value.length;
                }
            }
        }

        @Override
        public boolean round(long position, boolean caughtUp) {
            boolean full = bytes >= bytesMax;
            if (full || caughtUp) {
                piece.complete(new Piece(records, full ? next : position, !full));
            }
            return !piece.isDone();
        }

        @Override
        public void lost() {
            piece.completeExceptionally(new GoneException());
        }

        @Override
        public void closed() {
            piece.completeExceptionally(new ApiException(GatewayErrors.shuttingDown()));
        }
    }
}
