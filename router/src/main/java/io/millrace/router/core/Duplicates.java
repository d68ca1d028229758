package io.millrace.router.core;

import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Knows which record of an id came first in a partition. A later one of a keyed id becomes a DUP in the first one's journal;
 * after a REJECT the next one begins anew.
 */
final class Duplicates {

    private static final int KNOWN_MAX = 100_000;

    /** The first record of an id; {@code admitOffset} is -1 until its journal begins. */
    private record First(long req, long admitOffset, boolean result, Submit submit) {}

    private record Later(long req, String id, Submit submit, long timestampMs) {}

    private final Context context;
    private final Partition partition;
    private final Map<String, First> firsts = new LinkedHashMap<>();
    private final TreeMap<Long, Later> waiting = new TreeMap<>();
    private final java.util.Set<Long> sent = new java.util.HashSet<>();

    Duplicates(Context context, Partition partition) {
        this.context = context;
        this.partition = partition;
    }

    /** A result that stands in the log. */
    void result(Result result) {
        Submit key = Submit.newBuilder()
                .setTenant(result.getSubmit().getTenant())
                .setIdempotencyKey(result.getSubmit().getIdempotencyKey())
                .setBodyHash(result.getSubmit().getBodyHash())
                .build();
        remember(result.getId(), new First(result.getReq(), result.getAdmitOffset(), true, key));
    }

    private void remember(String id, First first) {
        firsts.remove(id);
        firsts.put(id, first);
        if (firsts.size() > KNOWN_MAX) {
            var eldest = firsts.entrySet().iterator();
            while (firsts.size() > KNOWN_MAX && eldest.hasNext()) {
                if (partition.request(eldest.next().getValue().req()) == null) {
                    eldest.remove();
                }
            }
        }
    }

    boolean hasResult(String id, long req) {
        First first = firsts.get(id);
        return first != null && first.result() && first.req() == req;
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
                remember(id, new First(req, -1, false, keyOf(submit)));
            }
            return false;
        }
        if (!submit.getIdempotencyKey().isEmpty()) {
            waiting.put(req, new Later(req, id, submit, timestampMs));
        }
        return true;
    }

    private static Submit keyOf(Submit submit) {
        return Submit.newBuilder()
                .setTenant(submit.getTenant())
                .setIdempotencyKey(submit.getIdempotencyKey())
                .setBodyHash(submit.getBodyHash())
                .build();
    }

    void done(Request request) {
        JournalFold journal = request.journal;
        if (journal == null) {
            return;
        }
        if (journal.rejected()) {
            firsts.remove(request.id);
        } else {
            remember(
                    request.id,
                    new First(request.req, journal.beginOffset(), Results.due(request), keyOf(request.submit)));
        }
    }

    /** Lowest request that waits for its DUP to stand in the journal. */
    long lowest() {
        return waiting.isEmpty() ? Long.MAX_VALUE : waiting.firstKey();
    }

    void tick() {
        if (waiting.isEmpty() || !partition.active()) {
            return;
        }
        for (Later later : List.copyOf(waiting.values())) {
            if (!sent.contains(later.req())) {
                settle(later);
            }
        }
    }

    private void settle(Later later) {
        First first = firsts.get(later.id());
        if (first == null || first.req() == later.req()) {
            waiting.remove(later.req());
            remember(later.id(), new First(later.req(), -1, false, keyOf(later.submit())));
            partition.add(later.req(), later.id(), later.submit(), later.timestampMs());
            return;
        }
        Request open = partition.request(first.req());
        JournalFold journal = open == null ? null : open.journal;
        long begin = journal != null ? journal.beginOffset() : first.admitOffset();
        if (begin < 0 || (journal != null && journal.rejected())) {
            return;
        }
        sent.add(later.req());
        JournalRecord record = JournalRecord.newBuilder()
                .setId(later.id())
                .setReq(first.req())
                .setDup(Dup.newBuilder()
                        .setAdmitOffset(begin)
                        .setBodyHash(first.submit().getBodyHash())
                        .setDuplicate(later.req()))
                .build();
        context.outbox.append(
                Topic.RESPONSES, partition.number(), later.id(), record.toByteArray(), new Outbox.Outcome() {
                    @Override
                    public void appended(long offset) {
                        sent.remove(later.req());
                        waiting.remove(later.req());
                    }

                    @Override
                    public void failed() {
                        sent.remove(later.req());
                    }
                });
    }
}
