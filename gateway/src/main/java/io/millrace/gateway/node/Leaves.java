package io.millrace.gateway.node;

import io.millrace.gateway.stream.Call;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * DETACH and CANCEL records, each repeated until Kafka confirms it or the request's deadline has passed: one that is lost lets
 * the request compute on to its end. Repeating one is harmless, a request that is over ignores it.
 *
 * <p>At most {@value #PENDING_MAX} are kept for repetition. Everything runs on the hub's thread.
 */
final class Leaves {

    static final int PENDING_MAX = 10_000;
    private static final Logger LOG = LoggerFactory.getLogger(Leaves.class);
    private static final long WAIT_FIRST_NANOS = 100_000_000L;
    private static final long WAIT_MAX_NANOS = 5_000_000_000L;

    private final Log log;
    private final JournalHub hub;
    private final Clock clock;
    private final Map<String, Leave> failed = new HashMap<>();

    /** One record on its way, or waiting for the next attempt. */
    private static final class Leave {

        final Call.Part part;
        final RequestRecord record;
        long waitNanos = WAIT_FIRST_NANOS;
        long dueNanos;
        boolean underWay;

        Leave(Call.Part part, RequestRecord record) {
            this.part = part;
            this.record = record;
        }
    }

    Leaves(Log log, JournalHub hub, Clock clock) {
        this.log = log;
        this.hub = hub;
        this.clock = clock;
        hub.onEveryTick(this::repeat);
    }

    void send(Call.Part part, RequestRecord record) {
        append(new Leave(part, record));
    }

    private void append(Leave leave) {
        leave.underWay = true;
        log.append(
                        Topic.REQUESTS,
                        leave.part.id().partition(),
                        leave.part.id().text(),
                        leave.record.toByteArray(),
                        leave.part.submit().getTrace())
                .whenComplete((offset, failure) -> hub.execute(() -> done(leave, failure)));
    }

    private void done(Leave leave, @Nullable Throwable failure) {
        String id = leave.part.id().text();
        leave.underWay = false;
        if (failure == null) {
            failed.remove(id, leave);
            return;
        }
        leave.dueNanos = clock.nanos() + leave.waitNanos;
        leave.waitNanos = Math.min(2 * leave.waitNanos, WAIT_MAX_NANOS);
        if (failed.get(id) == leave) {
            return;
        }
        if (failed.size() >= PENDING_MAX) {
            LOG.warn("{} of request {} is lost, {} wait already: {}", kind(leave), id, PENDING_MAX, failure.toString());
            return;
        }
        LOG.info("{} of request {} was not confirmed and will be repeated: {}", kind(leave), id, failure.toString());
        failed.put(id, leave);
    }

    private void repeat(long hubNanos) {
        if (failed.isEmpty()) {
            return;
        }
        long now = clock.nanos();
        long wall = clock.wallMs();
        for (Leave leave : new ArrayList<>(failed.values())) {
            if (wall > leave.part.submit().getDeadlineMs()) {
                failed.remove(leave.part.id().text(), leave);
                LOG.warn("{} of request {} was never confirmed; its deadline ended it", kind(leave), leave.part.id());
            } else if (!leave.underWay && now - leave.dueNanos >= 0) {
                append(leave);
            }
        }
    }

    private static RequestRecord.RecordCase kind(Leave leave) {
        return leave.record.getRecordCase();
    }
}
