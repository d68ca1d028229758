package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.DeleteRequest;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Knows which record of an id came first in a partition. A later one of a keyed id becomes a DUP in the first one's journal;
 * after a REJECT, or once it was deleted, the next one begins anew. An Attach that asks where a request is gets a DUP too.
 */
final class Duplicates {

    private static final int LOCATES_MAX = 10_000;
    /** Whoever asked earlier has given up. */
    private static final long LOCATE_MS_MAX = 30_000;

    /**
     * The first record of an id. There are up to a hundred thousand of them for each partition, so it holds little.
     *
     * @param admitOffset -1 until its journal begins
     * @param resultPosition one above the offset of its result; 0: none
     */
    private record First(long req, long admitOffset, long resultPosition, String tenant, ByteString bodyHash) {

        static First of(long req, long admitOffset, long resultPosition, Submit submit) {
            // Tenants are few, and each record was parsed with a string of its own.
            return new First(
                    req, admitOffset, resultPosition, submit.getTenant().intern(), submit.getBodyHash());
        }
    }

    private record Locate(long attach, String id, Attach question, long timestampMs) {}

    private record Deletion(String id, TraceContext trace) {}

    private record Later(long req, String id, Submit submit, long timestampMs) {}

    private final Context context;
    private final Partition partition;
    private final Map<String, First> firsts = new LinkedHashMap<>();
    private final TreeMap<Long, Later> waiting = new TreeMap<>();
    private final List<Locate> locates = new ArrayList<>();
    /** Offset of the DELETE to the result that is to go. */
    private final TreeMap<Long, Deletion> deletions = new TreeMap<>();

    private final Set<Long> sent = new HashSet<>();

    Duplicates(Context context, Partition partition) {
        this.context = context;
        this.partition = partition;
    }

    /** A result that stands in the log at that offset. */
    void result(long offset, Result result) {
        remember(result.getId(), First.of(result.getReq(), result.getAdmitOffset(), offset + 1, result.getSubmit()));
    }

    /** The result was deleted. */
    void forget(String id) {
        firsts.remove(id);
    }

    private void remember(String id, First first) {
        firsts.remove(id);
        firsts.put(id, first);
        int most = context.config.knownIdsMax();
        if (firsts.size() > most) {
            var eldest = firsts.entrySet().iterator();
            while (firsts.size() > most && eldest.hasNext()) {
                if (partition.request(eldest.next().getValue().req()) == null) {
                    eldest.remove();
                }
            }
        }
    }

    boolean hasResult(String id, long req) {
        First first = firsts.get(id);
        return first != null && first.resultPosition() > 0 && first.req() == req;
    }

    /** Offset of the first record of the id; null when none is known. */
    @Nullable
    Long first(String id) {
        First first = firsts.get(id);
        return first == null ? null : first.req();
    }

    /** Takes a later record of a known id; false when it is the first. */
    boolean take(long req, String id, Submit submit, long timestampMs) {
        First first = firsts.get(id);
        if (first == null || first.req() == req) {
            if (first == null) {
                remember(id, First.of(req, -1, 0, submit));
            }
            return false;
        }
        if (!submit.getIdempotencyKey().isEmpty()) {
            Later later = new Later(req, id, submit, timestampMs);
            waiting.put(req, later);
            if (partition.active()) {
                settle(later);
            }
        }
        return true;
    }

    void done(Request request) {
        JournalFold journal = request.journal;
        if (journal == null) {
            return;
        }
        First before = firsts.get(request.id);
        long written = before != null && before.req() == request.req ? before.resultPosition() : 0;
        long position = Math.max(request.resultPosition, written);
        if (journal.rejected() || request.deleted) {
            firsts.remove(request.id);
        } else {
            remember(request.id, First.of(request.req, journal.beginOffset(), position, request.submit));
        }
        if (request.deleted && position > 0) {
            deletions.put(request.req, new Deletion(request.id, request.submit.getTrace()));
        }
    }

    /** Deletes the result of a request that is over; one that is open still leaves none when it ends. */
    void delete(long offset, String id, DeleteRequest delete) {
        First first = firsts.get(id);
        if (first != null && first.tenant().equals(delete.getTenant()) && partition.request(first.req()) == null) {
            firsts.remove(id);
            deletions.put(offset, new Deletion(id, delete.getTrace()));
        }
    }

    /** Tells where the request is, as soon as that is known. */
    void locate(long attach, String id, Attach question, long timestampMs) {
        var locate = new Locate(attach, id, question, timestampMs);
        if (!partition.active() || !answered(locate)) {
            locates.add(locate);
            if (locates.size() > LOCATES_MAX) {
                locates.removeFirst();
            }
        }
    }

    /** Answers, unless the request's journal has not begun yet. */
    private boolean answered(Locate locate) {
        if (context.nowMs - locate.timestampMs() > LOCATE_MS_MAX) {
            return true;
        }
        First first = firsts.get(locate.id());
        Dup.Builder dup = Dup.newBuilder().setDuplicate(locate.attach());
        if (first == null
                || deleted(first)
                || !first.tenant().equals(locate.question().getTenant())) {
            append(locate.id(), -1, dup.setUnknown(true), locate.question().getTrace(), Outbox.Outcome.NONE);
            return true;
        }
        long begin = begin(first);
        if (begin < 0) {
            return false;
        }
        dup.setAdmitOffset(begin).setBodyHash(first.bodyHash()).setResultPosition(first.resultPosition());
        append(locate.id(), first.req(), dup, locate.question().getTrace(), Outbox.Outcome.NONE);
        return true;
    }

    /** Whether it is open only because what was deleted has not ended yet. */
    private boolean deleted(First first) {
        Request open = partition.request(first.req());
        return open != null && open.deleted;
    }

    /** Where the journal begins; -1 when it has not begun, or was rejected. */
    private long begin(First first) {
        Request open = partition.request(first.req());
        JournalFold journal = open == null ? null : open.journal;
        if (journal == null) {
            return first.admitOffset();
        }
        return journal.rejected() ? -1 : journal.beginOffset();
    }

    private void append(String id, long req, Dup.Builder dup, TraceContext trace, Outbox.Outcome outcome) {
        byte[] record = JournalRecord.newBuilder()
                .setId(id)
                .setReq(req)
                .setDup(dup)
                .build()
                .toByteArray();
        context.outbox.append(Topic.RESPONSES, partition.number(), id, record, trace, outcome);
    }

    /** Lowest record that still has to lead to another one: a DUP, or a tombstone. */
    long lowest() {
        return Math.min(
                waiting.isEmpty() ? Long.MAX_VALUE : waiting.firstKey(),
                deletions.isEmpty() ? Long.MAX_VALUE : deletions.firstKey());
    }

    void tick() {
        if (!partition.active()) {
            return;
        }
        locates.removeIf(this::answered);
        for (Later later : List.copyOf(waiting.values())) {
            if (!sent.contains(later.req())) {
                settle(later);
            }
        }
        for (Map.Entry<Long, Deletion> each : List.copyOf(deletions.entrySet())) {
            if (sent.add(each.getKey())) {
                bury(each.getKey(), each.getValue());
            }
        }
    }

    private void bury(long offset, Deletion deletion) {
        context.outbox.append(
                Topic.RESULTS,
                partition.number(),
                deletion.id(),
                null,
                deletion.trace(),
                once(offset, () -> deletions.remove(offset)));
    }

    private void settle(Later later) {
        First first = firsts.get(later.id());
        if (first == null || first.req() == later.req()) {
            waiting.remove(later.req());
            remember(later.id(), First.of(later.req(), -1, 0, later.submit()));
            partition.add(later.req(), later.id(), later.submit(), later.timestampMs());
            return;
        }
        long begin = begin(first);
        if (begin < 0) {
            return;
        }
        sent.add(later.req());
        append(
                later.id(),
                first.req(),
                Dup.newBuilder()
                        .setAdmitOffset(begin)
                        .setBodyHash(first.bodyHash())
                        .setDuplicate(later.req())
                        .setResultPosition(first.resultPosition()),
                later.submit().getTrace(),
                once(later.req(), () -> waiting.remove(later.req())));
    }

    /** An append that is repeated until it stands. */
    private Outbox.Outcome once(long key, Runnable appended) {
        return new Outbox.Outcome() {
            @Override
            public void appended(long offset) {
                sent.remove(key);
                appended.run();
            }

            @Override
            public void failed() {
                sent.remove(key);
            }
        };
    }
}
