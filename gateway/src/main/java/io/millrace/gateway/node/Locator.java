package io.millrace.gateway.node;

import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Asks the router of a partition where a request is, again every two seconds until it is answered, and gives up after a while. Hub's
 * thread.
 */
final class Locator implements JournalHub.Subscriber {

    private static final Logger LOG = LoggerFactory.getLogger(Locator.class);
    private static final long AGAIN_NANOS = 2_000_000_000L;

    /**
     * Where a request is.
     *
     * @param begin offset at which its journal begins
     * @param resultPosition one above the offset of its result; 0: none
     */
    record Place(long req, long begin, long resultPosition) {}

    private final Log log;
    private final JournalHub hub;
    private final RequestId id;
    private final String tenant;
    private final TraceContext trace;
    private final Duration patience;
    private final CompletableFuture<Place> answer = new CompletableFuture<>();
    /** Offsets of the questions. */
    private final Set<Long> asked = new HashSet<>();
    /** Answers that came before it was known where their question stands. */
    private final Set<JournalRecord> early = new HashSet<>();

    private long startNanos;
    private long askedNanos;

    Locator(Log log, JournalHub hub, RequestId id, String tenant, TraceContext trace, Duration patience) {
        this.log = log;
        this.hub = hub;
        this.id = id;
        this.tenant = tenant;
        this.trace = trace;
        this.patience = patience;
    }

    /** Asks; the future fails with 404 or 503. */
    CompletableFuture<Place> ask() {
        CompletableFuture<Void> ready = hub.use(id.partition());
        hub.subscribe(id.text(), this);
        ready.thenRun(() -> hub.execute(this::append));
        return answer;
    }

    private void append() {
        askedNanos = System.nanoTime();
        byte[] record = RequestRecord.newBuilder()
                .setId(id.text())
                .setAttach(Attach.newBuilder().setLocate(true).setTenant(tenant).setTrace(trace))
                .build()
                .toByteArray();
        log.append(Topic.REQUESTS, id.partition(), id.text(), record, trace)
                .whenComplete((offset, failure) -> hub.execute(() -> {
                    if (failure == null) {
                        asked.add(offset);
                        Set.copyOf(early).forEach(this::match);
                    } else {
                        LOG.info("request {} could not be asked for: {}", id, failure.toString());
                    }
                }));
    }

    @Override
    public void onRecord(String key, LogRecord log) {
        JournalRecord record = KeyedStart.parse(log);
        if (record != null && record.hasDup() && !answer.isDone()) {
            early.add(record);
            match(record);
        }
    }

    private void match(JournalRecord record) {
        Dup dup = record.getDup();
        if (answer.isDone() || !asked.contains(dup.getDuplicate())) {
            return;
        }
        done();
        if (dup.getUnknown()) {
            answer.completeExceptionally(new ApiException(GatewayErrors.noSuchAnswer(id.text())));
        } else {
            answer.complete(new Place(record.getReq(), dup.getAdmitOffset(), dup.getResultPosition()));
        }
    }

    @Override
    public void onTick(long nowNanos) {
        startNanos = startNanos == 0 ? nowNanos : startNanos;
        if (answer.isDone()) {
            return;
        }
        if (nowNanos - startNanos > patience.toNanos()) {
            done();
            answer.completeExceptionally(new ApiException(GatewayErrors.notLocated(patience.toMillis())));
        } else if (askedNanos != 0 && nowNanos - askedNanos > AGAIN_NANOS) {
            append();
        }
    }

    private void done() {
        hub.unsubscribe(id.text(), this);
        hub.release(id.partition());
    }

    @Override
    public void onFlush() {}

    @Override
    public void onLost(int partition) {}

    @Override
    public void onFault() {
        if (!answer.isDone()) {
            done();
            answer.completeExceptionally(new ApiException(GatewayErrors.internal()));
        }
    }

    @Override
    public void onClosed() {
        answer.completeExceptionally(new ApiException(GatewayErrors.shuttingDown()));
    }

    @Override
    public boolean follows() {
        return false;
    }
}
