package io.millrace.router.core;

import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import org.jspecify.annotations.Nullable;

/**
 * Appends to journals. An append is pending until the fold has passed its offset, so that its writer sees what it came to: it
 * numbers by the fold, and repeats what was refused.
 */
final class JournalWriter {

    private final Context context;

    JournalWriter(Context context) {
        this.context = context;
    }

    void append(Request request, JournalRecord.Builder record, @Nullable Binding target) {
        Request.Pending pending = new Request.Pending(target);
        request.pending = pending;
        byte[] value = record.setId(request.id).setReq(request.req).build().toByteArray();
        TraceContext trace = request.submit.getTrace();
        context.outbox.append(
                Topic.RESPONSES, request.partition.number(), request.id, value, trace, new Outbox.Outcome() {
                    @Override
                    public void appended(long offset) {
                        if (request.pending == pending) {
                            pending.offset = offset;
                            settle(request);
                            context.touch(request);
                        }
                    }

                    @Override
                    public void failed() {
                        if (request.pending == pending) {
                            release(request, pending);
                            request.retryAtMs =
                                    context.nowMs + context.config.timing().retryMs();
                            context.touch(request);
                        }
                    }
                });
    }

    /** Ends the wait when the fold has passed the append. */
    void settle(Request request) {
        Request.Pending pending = request.pending;
        if (pending != null && pending.offset >= 0 && request.partition.fold().position() > pending.offset) {
            release(request, pending);
        }
    }

    /** The request's journal has begun: whatever else was to begin it comes too late, so nothing waits for its ack. */
    void begun(Request request) {
        Request.Pending pending = request.pending;
        if (pending != null) {
            release(request, pending);
        }
    }

    private void release(Request request, Request.Pending pending) {
        request.pending = null;
        Binding target = pending.target;
        if (target != null && request.binding != target) {
            context.release(target);
        }
    }
}
