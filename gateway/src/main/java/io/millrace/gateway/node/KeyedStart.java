package io.millrace.gateway.node;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.gateway.stream.Call;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The beginning of a call with an idempotency key: finds out whether its requests are the first of their ids, or whose answer
 * they get. Hub's thread.
 */
final class KeyedStart implements JournalHub.Subscriber {

    /** How it comes out. */
    interface Outcome {

        /** An earlier request of the key had another body; those of this call that are new are to be given up. */
        void otherBody(List<Call.Part> fresh);

        /** An earlier request has the answer: its journal begins there. */
        void attach(long begin, long resultPosition);
    }

    private static final int KEPT_MAX = 10_000;

    /** What is known of one request: its own offset, then that it began a journal, or which one has its answer. */
    private static final class Slot {
        final Call.Part part;
        long offset = -1;
        long begin = -1;
        boolean own;

        @Nullable
        Dup dup;

        Slot(Call.Part part) {
            this.part = part;
        }

        boolean resolved() {
            return own || dup != null;
        }
    }

    private record Kept(String key, LogRecord log, JournalRecord record) {}

    private final Exchange<?> exchange;
    private final Outcome outcome;
    private final Map<String, Slot> slots = new HashMap<>();
    private final List<Kept> kept = new ArrayList<>();
    /** All requests are this call's own: it goes on as one without a key. */
    private boolean passed;

    KeyedStart(Call call, Exchange<?> exchange, Outcome outcome) {
        this.exchange = exchange;
        this.outcome = outcome;
        call.parts().forEach(part -> slots.put(part.id().text(), new Slot(part)));
    }

    /** That request of the call stands at that offset. */
    void appended(Call.Part part, long offset) {
        Slot slot = slots.get(part.id().text());
        if (slot != null) {
            slot.offset = offset;
            List.copyOf(kept).forEach(each -> resolve(each.key(), each.log(), each.record()));
            decide();
        }
    }

    @Override
    public void onRecord(String key, LogRecord log) {
        if (passed) {
            pass(key, log);
            return;
        }
        JournalRecord record = parse(log);
        if (record == null || exchange.closed()) {
            return;
        }
        if (kept.size() >= KEPT_MAX) {
            exchange.fail(GatewayErrors.tooManyResumes());
            return;
        }
        kept.add(new Kept(key, log, record));
        resolve(key, log, record);
        decide();
    }

    private void resolve(String key, LogRecord log, JournalRecord record) {
        Slot slot = slots.get(key);
        if (slot == null || slot.offset < 0 || slot.resolved()) {
            return;
        }
        if (record.hasDup() && record.getDup().getDuplicate() == slot.offset) {
            slot.dup = record.getDup();
        } else if ((record.hasAdmit() || record.hasReject()) && record.getReq() == slot.offset) {
            slot.own = true;
            slot.begin = log.offset();
        }
    }

    private void decide() {
        if (passed || exchange.closed() || !slots.values().stream().allMatch(Slot::resolved)) {
            return;
        }
        if (slots.values().stream().allMatch(slot -> slot.own)) {
            passed = true;
            kept.forEach(each -> pass(each.key(), each.log()));
            kept.clear();
            exchange.onFlush();
            return;
        }
        long begin = Long.MAX_VALUE;
        long result = 0;
        boolean same = true;
        for (Slot slot : slots.values()) {
            Dup dup = slot.dup;
            if (dup != null) {
                same &= dup.getBodyHash().equals(slot.part.submit().getBodyHash());
                result = dup.getResultPosition();
            }
            begin = Math.min(begin, dup == null ? slot.begin : dup.getAdmitOffset());
        }
        if (same) {
            outcome.attach(begin, result);
        } else {
            outcome.otherBody(slots.values().stream()
                    .filter(slot -> slot.own)
                    .map(slot -> slot.part)
                    .toList());
        }
    }

    private void pass(String key, LogRecord log) {
        Slot slot = slots.get(key);
        JournalRecord record = parse(log);
        if (slot != null && record != null && record.getReq() == slot.offset) {
            exchange.onRecord(key, log);
        }
    }

    @Override
    public void onFlush() {
        if (passed) {
            exchange.onFlush();
        }
    }

    @Override
    public void onTick(long nowNanos) {
        exchange.onTick(nowNanos);
    }

    @Override
    public void onLost(int partition) {
        exchange.onLost(partition);
    }

    @Override
    public void onFault() {
        exchange.onFault();
    }

    @Override
    public void onClosed() {
        exchange.onClosed();
    }

    static @Nullable JournalRecord parse(LogRecord log) {
        byte[] value = log.value();
        if (value == null) {
            return null;
        }
        try {
            return JournalRecord.parseFrom(value);
        } catch (InvalidProtocolBufferException malformed) {
            return null;
        }
    }
}
