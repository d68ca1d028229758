package io.millrace.shared.fold;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.fold.JournalFold.Keep;
import io.millrace.shared.fold.Verdict.Reason;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.JournalRecord;
import java.util.ArrayDeque;
import java.util.Collection;
import java.util.Collections;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Folds one partition of {@code responses} into its journals.
 *
 * <p>A journal is one (id, {@code req}); it begins with its first ADMIT or REJECT. A reader that starts at a checkpoint gives
 * its request offset as floor: what is below has ended, whatever still arrives for it. Journals that ended are kept up to a
 * bound, then forgotten except that they never begin again; with {@link #keepUntilReleased} only those that their reader has
 * released count for that. Not thread-safe.
 */
public final class PartitionFold {

    /**
     * What became of one record.
     *
     * @param journal its journal as it is now; null when it has none, or was forgotten
     * @param record the record; null when its bytes are not one
     */
    public record Folded(
            @Nullable JournalFold journal, @Nullable JournalRecord record, Verdict verdict) {}

    private final Keep keep;
    private final int endedMax;
    private final FoldRules rules;
    private final TreeMap<Long, JournalFold> journals = new TreeMap<>();
    private final ArrayDeque<Long> ended = new ArrayDeque<>();
    private final ReqSet forgotten = new ReqSet();
    private long floor;
    private long position;
    private boolean untilReleased;

    /**
     * @param reqFloor requests below it are ignored: a checkpoint's {@code requests_offset}, or 0
     * @param endedMax most journals kept after their end
     */
    public PartitionFold(Keep keep, long reqFloor, int endedMax) {
        this(keep, reqFloor, endedMax, FoldRules.PROTOCOL);
    }

    PartitionFold(Keep keep, long reqFloor, int endedMax, FoldRules rules) {
        this.keep = keep;
        this.floor = reqFloor;
        this.endedMax = endedMax;
        this.rules = rules;
    }

    /** Applies the next record of the partition. */
    public Folded apply(LogRecord record) {
        byte[] value = record.value();
        JournalRecord parsed = null;
        if (value != null) {
            try {
                parsed = JournalRecord.parseFrom(value);
            } catch (InvalidProtocolBufferException e) {
                parsed = null;
            }
        }
        if (parsed == null) {
            position = record.offset() + 1;
            return new Folded(null, null, Verdict.ignored(Reason.MALFORMED));
        }
        return apply(record.offset(), record.timestampMs(), parsed);
    }

    /** Applies the next record of the partition, parsed. */
    public Folded apply(long offset, long timestampMs, JournalRecord record) {
        if (offset < position) {
            return new Folded(journals.get(key(record)), record, Verdict.ignored(Reason.DUPLICATE));
        }
        position = offset + 1;
        long req = key(record);
        if (rules.checkReq() && (req < floor || forgotten.contains(req))) {
            return new Folded(null, record, Verdict.ignored(req < floor ? Reason.WRONG_REQ : Reason.TERMINAL));
        }
        JournalFold journal = journals.get(req);
        if (journal == null) {
            if (record.hasDup()) {
                return new Folded(null, record, Verdict.ignored(Reason.NOT_FOLDED));
            }
            boolean begins = record.hasAdmit() || record.hasReject() || (record.hasClaim() && !rules.admitFirst());
            if (!begins) {
                return new Folded(null, record, Verdict.ignored(Reason.NO_ADMIT));
            }
            journal = new JournalFold(record.getId(), record.getReq(), keep, rules);
            journals.put(req, journal);
        }
        boolean was = journal.terminal();
        Verdict verdict = journal.apply(offset, timestampMs, record);
        if (journal.terminal() && !was && !untilReleased) {
            over(req);
        }
        return new Folded(journal, record, verdict);
    }

    private long key(JournalRecord record) {
        return rules.checkReq() ? record.getReq() : record.getId().hashCode();
    }

    /** From now on no journal is forgotten before {@link #release}, so that its reader finds it whole however late it comes. */
    public void keepUntilReleased() {
        untilReleased = true;
    }

    /** The reader is done with that journal: when it has ended, its ids and texts are dropped, and it may be forgotten. */
    public void release(long req) {
        JournalFold journal = journal(req);
        if (journal != null && journal.terminal()) {
            journal.reduce();
            if (untilReleased) {
                over(rules.checkReq() ? req : journal.id().hashCode());
            }
        }
    }

    private void over(long key) {
        ended.addLast(key);
        while (ended.size() > endedMax) {
            forget(ended.removeFirst());
        }
    }

    private void forget(long req) {
        if (journals.remove(req) != null) {
            forgotten.add(req);
        }
    }

    /** The journal of that request; null when it has not begun, or was forgotten. */
    public @Nullable JournalFold journal(long req) {
        if (!rules.checkReq()) {
            for (JournalFold journal : journals.values()) {
                if (journal.req() == req) {
                    return journal;
                }
            }
            return null;
        }
        return journals.get(req);
    }

    /** Whether the request's journal ended and was dropped from memory. */
    public boolean forgotten(long req) {
        return req < floor || forgotten.contains(req);
    }

    /** Journals in memory, by rising {@code req}; a live view. */
    public Collection<JournalFold> journals() {
        return Collections.unmodifiableCollection(journals.values());
    }

    /** Raises the floor: journals below are dropped, and whatever comes for them is ignored. */
    public void raiseFloor(long req) {
        if (rules.checkReq() && req > floor) {
            floor = req;
            journals.headMap(req, false).clear();
            ended.removeIf(each -> each < req);
            forgotten.dropBelow(req);
        }
    }

    public long floor() {
        return floor;
    }

    /** Offset of the next record: one above the last applied. */
    public long position() {
        return position;
    }
}
