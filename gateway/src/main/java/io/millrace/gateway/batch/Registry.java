package io.millrace.gateway.batch;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.BatchInfo;
import io.millrace.shared.proto.BatchRecord;
import io.millrace.shared.proto.BatchState;
import io.millrace.shared.proto.FileInfo;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Mono;

/**
 * What the topic {@code batches} says: files, batches, and how far these are. Every gateway has all of it in memory. Written by one
 * reader's thread, read by any.
 */
public final class Registry implements LogReader.Listener, AutoCloseable {

    /** Most files, and most batches, of a tenant at a time. */
    public static final int COUNT_MAX = 10_000;

    private static final Logger LOG = LoggerFactory.getLogger(Registry.class);
    private static final String STATE = "/state";
    private static final String CANCEL = "/cancel";
    private static final Duration AGAIN = Duration.ofMillis(50);
    private static final int TRIES = 12;

    private final Log log;
    private final Clock clock;
    private final LogReader reader;
    private final Map<String, FileInfo> files = new ConcurrentHashMap<>();
    private final Map<String, BatchInfo> batches = new ConcurrentHashMap<>();
    private final Map<String, BatchState> states = new ConcurrentHashMap<>();
    private final Map<String, Long> cancels = new ConcurrentHashMap<>();
    private final ConcurrentSkipListMap<Long, CompletableFuture<Void>> waiting = new ConcurrentSkipListMap<>();
    private volatile long position;
    private volatile boolean ready;

    /** A batch and how far it is. */
    public record Batch(BatchInfo info, BatchState state, long cancelMs) {

        /** Nothing more becomes of it. */
        public boolean ended() {
            return state.getStatus().getNumber() >= BatchState.Status.COMPLETED_VALUE;
        }
    }

    public Registry(Log log, Clock clock) {
        this.log = log;
        this.clock = clock;
        this.reader = log.reader("batches", this);
        reader.assign(Topic.BATCHES, 0, LogReader.BEGINNING);
    }

    /** Whether everything that the topic held has been read. */
    public boolean ready() {
        return ready;
    }

    @Override
    public void onRecord(LogRecord record) {
        byte[] value = record.value();
        String key = record.key();
        try {
            if (value == null) {
                files.remove(key);
            } else {
                apply(key, BatchRecord.parseFrom(value));
            }
        } catch (InvalidProtocolBufferException malformed) {
            LOG.warn("batches holds a record that is none, at offset {}", record.offset());
        }
        position = record.offset() + 1;
        wake();
    }

    private void apply(String key, BatchRecord record) {
        switch (record.getRecordCase()) {
            case FILE -> files.put(key, record.getFile());
            case BATCH -> batches.put(key, record.getBatch());
            case STATE -> states.merge(owner(key), record.getState(), Registry::further);
            case CANCEL -> cancels.putIfAbsent(owner(key), record.getCancel().getTimeMs());
            case RECORD_NOT_SET -> {}
        }
    }

    private static String owner(String key) {
        return key.substring(0, key.indexOf('/'));
    }

    private static BatchState further(BatchState before, BatchState next) {
        boolean over = before.getStatus().getNumber() >= BatchState.Status.COMPLETED_VALUE;
        return over || next.getStatus().getNumber() < before.getStatus().getNumber() ? before : next;
    }

    private void wake() {
        Map<Long, CompletableFuture<Void>> due = waiting.headMap(position);
        List.copyOf(due.values()).forEach(each -> each.complete(null));
        due.clear();
    }

    @Override
    public void onCaughtUp(Topic topic, int partition, long at) {
        position = Math.max(position, at);
        ready = true;
        wake();
    }

    @Override
    public boolean isPunctual() {
        return false;
    }

    @Override
    public boolean isSettled() {
        return true;
    }

    /** The tenant's file; looked for again for a moment, since another gateway may just have written it. */
    public Mono<FileInfo> file(String id, String tenant) {
        return patiently(() -> {
            FileInfo file = files.get(id);
            return file != null && file.getTenant().equals(tenant) && file.getExpiresMs() > clock.wallMs()
                    ? file
                    : null;
        });
    }

    public Mono<Batch> batch(String id, String tenant) {
        return patiently(() -> {
            Batch batch = batch(id);
            return batch != null && batch.info().getTenant().equals(tenant) ? batch : null;
        });
    }

    @Nullable
    Batch batch(String id) {
        BatchInfo info = batches.get(id);
        return info == null
                ? null
                : new Batch(
                        info, states.getOrDefault(id, BatchState.getDefaultInstance()), cancels.getOrDefault(id, 0L));
    }

    private static <T> Mono<T> patiently(Supplier<@Nullable T> look) {
        Mono<T> once = Mono.fromSupplier(look);
        return once.repeatWhenEmpty(TRIES, turns -> turns.delayElements(AGAIN))
                .onErrorComplete(IllegalStateException.class);
    }

    /** The tenant's files, the newest first. */
    public List<FileInfo> files(String tenant) {
        return files.values().stream()
                .filter(file -> file.getTenant().equals(tenant) && file.getExpiresMs() > clock.wallMs())
                .sorted(Comparator.comparingLong(FileInfo::getCreatedMs)
                        .thenComparing(FileInfo::getId)
                        .reversed())
                .toList();
    }

    /** The tenant's batches, the newest first. */
    public List<Batch> batches(String tenant) {
        return all().stream()
                .filter(batch -> batch.info().getTenant().equals(tenant))
                .sorted(Comparator.<Batch>comparingLong(batch -> batch.info().getCreatedMs())
                        .thenComparing(batch -> batch.info().getId())
                        .reversed())
                .toList();
    }

    List<Batch> all() {
        return batches.keySet().stream()
                .map(this::batch)
                .filter(batch -> batch != null)
                .toList();
    }

    /** Forgets what the topic forgets. */
    void prune() {
        long now = clock.wallMs();
        files.values().removeIf(file -> file.getExpiresMs() < now);
        for (Batch batch : all()) {
            if (batch.ended() && batch.state().getEndedMs() + FileLife.MS < now) {
                String id = batch.info().getId();
                batches.remove(id);
                states.remove(id);
                cancels.remove(id);
            }
        }
    }

    public CompletableFuture<Void> put(FileInfo file) {
        return append(file.getId(), BatchRecord.newBuilder().setFile(file));
    }

    public CompletableFuture<Void> put(BatchInfo batch) {
        return append(batch.getId(), BatchRecord.newBuilder().setBatch(batch));
    }

    CompletableFuture<Void> put(String batch, BatchState state) {
        return append(batch + STATE, BatchRecord.newBuilder().setState(state));
    }

    public CompletableFuture<Void> cancel(String batch) {
        BatchRecord.Builder record = BatchRecord.newBuilder();
        record.getCancelBuilder().setTimeMs(clock.wallMs());
        return append(batch + CANCEL, record);
    }

    public CompletableFuture<Void> delete(FileInfo file) {
        return append(file.getId(), null);
    }

    /** Completes when this gateway has read the record back. */
    private CompletableFuture<Void> append(String key, BatchRecord.@Nullable Builder record) {
        byte[] value = record == null ? null : record.build().toByteArray();
        return log.append(Topic.BATCHES, 0, key, value).thenCompose(offset -> {
            if (position > offset) {
                return CompletableFuture.completedFuture(null);
            }
            CompletableFuture<Void> read = waiting.computeIfAbsent(offset, at -> new CompletableFuture<>());
            wake();
            return read;
        });
    }

    @Override
    public void close() {
        reader.close();
    }
}
