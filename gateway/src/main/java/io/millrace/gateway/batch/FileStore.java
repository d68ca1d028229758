package io.millrace.gateway.batch;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.gateway.node.LogPieces;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.BatchBegin;
import io.millrace.shared.proto.BatchLine;
import io.millrace.shared.proto.FileChunk;
import io.millrace.shared.proto.FileInfo;
import io.millrace.shared.proto.FileRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;

/** Contents of files in the topic {@code files}: written and read in pieces, never whole in memory. Thread-safe. */
public final class FileStore {

    /** Bytes of a chunk. */
    static final int CHUNK_BYTES = 512 * 1024;

    private static final int PIECE_BYTES = 2 * 1024 * 1024;

    private final Log log;
    private final LogPieces pieces;

    /**
     * Where a source begins and ends in its partition.
     *
     * @param bytes of the file
     */
    public record Written(long bytes, long firstOffset, long lastOffset) {}

    public FileStore(Log log, LogPieces pieces) {
        this.log = log;
        this.pieces = pieces;
    }

    /** A partition for a new file. */
    public int partition() {
        return ThreadLocalRandom.current().nextInt(log.partitions(Topic.FILES));
    }

    /** Begins a file that is written chunk by chunk. */
    public Writing writing(String source, int partition) {
        return new Writing(source, partition);
    }

    /** A file that is being written. Not thread-safe: one chunk after the other. */
    public final class Writing {

        private final String source;
        private final int partition;
        private long bytes;
        private long firstOffset = -1;
        private long lastOffset = -1;

        private Writing(String source, int partition) {
            this.source = source;
            this.partition = partition;
        }

        /**
         * Appends what comes next; done once it is confirmed.
         *
         * @param chunk of {@link #CHUNK_BYTES} at most
         */
        public Mono<Void> append(byte[] chunk) {
            return Mono.defer(() -> {
                FileRecord record = FileRecord.newBuilder()
                        .setChunk(FileChunk.newBuilder().setPosition(bytes).setData(ByteString.copyFrom(chunk)))
                        .build();
                bytes += chunk.length;
                return Mono.fromFuture(FileStore.this.append(source, partition, record))
                        .doOnNext(offset -> {
                            firstOffset = firstOffset < 0 ? offset : firstOffset;
                            lastOffset = offset;
                        })
                        .then();
            });
        }

        /** Where all that was appended stands. */
        public Written written() {
            return new Written(bytes, firstOffset, lastOffset);
        }
    }

    /** Marks where a batch's output begins; gives the offset. */
    CompletableFuture<Long> begin(String source, int partition, String batch) {
        return append(
                source,
                partition,
                FileRecord.newBuilder()
                        .setBegin(BatchBegin.newBuilder().setBatch(batch))
                        .build());
    }

    CompletableFuture<Long> append(String source, int partition, BatchLine line) {
        return append(source, partition, FileRecord.newBuilder().setLine(line).build());
    }

    private CompletableFuture<Long> append(String source, int partition, FileRecord record) {
        return log.append(Topic.FILES, partition, source, record.toByteArray());
    }

    /** The file's bytes, read as they are asked for. */
    public Flux<byte[]> read(FileInfo file) {
        if (file.getFirstOffset() < 0) {
            return Flux.empty();
        }
        return Flux.defer(() -> {
            var reading = file.getContent() == FileInfo.Content.CHUNKS ? new Chunks() : new Lines(file.getContent());
            return records(file.getPartition(), file.getSource(), file.getFirstOffset(), file.getLastOffset())
                    .concatMapIterable(record -> {
                        byte[] bytes = reading.apply(record);
                        return bytes == null ? List.<byte[]>of() : List.of(bytes);
                    });
        });
    }

    /** Lines of a batch that are in the log, each once; from {@code first} to the end as it is now. */
    Flux<Counted> lines(String source, int partition, long first) {
        return Flux.defer(() -> {
            BitSet seen = new BitSet();
            return records(partition, source, first, Long.MAX_VALUE).concatMapIterable(record -> {
                BatchLine line = parse(record).getLine();
                if (line.getLine() == 0 || seen.get(line.getLine())) {
                    return List.<Counted>of();
                }
                seen.set(line.getLine());
                return List.of(new Counted(
                        line.getLine(), line.getError(), line.getJson().size() + 1L, record.offset()));
            });
        });
    }

    /** A line of a batch's output, without its text. */
    record Counted(int line, boolean error, long bytes, long offset) {}

    private Flux<LogRecord> records(int partition, String source, long from, long last) {
        return piece(partition, source, from)
                .expand(piece ->
                        piece.end() || piece.next() > last ? Mono.empty() : piece(partition, source, piece.next()))
                .concatMapIterable(
                        piece -> {
                            List<LogRecord> wanted = new ArrayList<>(piece.records());
                            wanted.removeIf(record -> record.offset() > last);
                            return wanted;
                        },
                        1);
    }

    private Mono<LogPieces.Piece> piece(int partition, String source, long from) {
        return Mono.fromFuture(() -> pieces.read(Topic.FILES, partition, source, from, PIECE_BYTES))
                .publishOn(Schedulers.parallel());
    }

    private static FileRecord parse(LogRecord record) {
        try {
            byte[] value = record.value();
            return value == null ? FileRecord.getDefaultInstance() : FileRecord.parseFrom(value);
        } catch (InvalidProtocolBufferException malformed) {
            return FileRecord.getDefaultInstance();
        }
    }

    /** Chunks in order, each once. */
    private static final class Chunks implements Function<LogRecord, byte @Nullable []> {

        private long position;

        @Override
        public byte @Nullable [] apply(LogRecord record) {
            FileRecord parsed = parse(record);
            if (!parsed.hasChunk() || parsed.getChunk().getPosition() != position) {
                return null;
            }
            byte[] bytes = parsed.getChunk().getData().toByteArray();
            position += bytes.length;
            return bytes;
        }
    }

    /** Answers or errors of a batch, each line once. */
    private static final class Lines implements Function<LogRecord, byte @Nullable []> {

        private final BitSet seen = new BitSet();
        private final boolean errors;

        Lines(FileInfo.Content content) {
            this.errors = content == FileInfo.Content.ERRORS;
        }

        @Override
        public byte @Nullable [] apply(LogRecord record) {
            BatchLine line = parse(record).getLine();
            if (line.getLine() == 0 || seen.get(line.getLine())) {
                return null;
            }
            seen.set(line.getLine());
            return line.getError() == errors
                    ? line.getJson().concat(ByteString.copyFromUtf8("\n")).toByteArray()
                    : null;
        }
    }
}
