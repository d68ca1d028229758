package io.millrace.router.sim;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.JournalFold.Keep;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Checkpoint;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What must hold, whatever happens: every accepted token belongs to its prefix, what has ended stays so, every reader agrees,
 * and everything submitted ends.
 */
final class Oracle {

    private record Entry(long offset, long timestampMs, JournalRecord record) {}

    private static final class Side {
        final List<Entry> entries = new ArrayList<>();
        final Map<Long, Submit> submits = new HashMap<>();
        final Map<Long, long[]> states = new HashMap<>();
        final Set<Long> ended = new HashSet<>();
        final Set<Long> dups = new HashSet<>();
        final PartitionFold full;
        final PartitionFold forgetful;

        Side(Mutation mutation) {
            full = mutation.fold(Keep.COUNTS, 0, Integer.MAX_VALUE);
            forgetful = mutation.fold(Keep.COUNTS, 0, 2);
        }
    }

    private final SimWorld world;
    private final List<Side> sides = new ArrayList<>();
    final List<String> violations = new ArrayList<>();
    int completed;
    int accepted;

    Oracle(SimWorld world) {
        this.world = world;
        for (int p = 0; p < world.partitions; p++) {
            sides.add(new Side(world.mutation));
        }
    }

    void violation(String format, Object... args) {
        String text = world.now + " ms: " + format.formatted(args);
        violations.add(text);
        world.trace("VIOLATION %s", text);
    }

    void landed(LogRecord record) {
        try {
            if (record.topic() == Topic.REQUESTS) {
                RequestRecord parsed = RequestRecord.parseFrom(record.value());
                if (parsed.hasSubmit()) {
                    sides.get(record.partition()).submits.put(record.offset(), parsed.getSubmit());
                }
            } else if (record.topic() == Topic.RESPONSES) {
                journal(sides.get(record.partition()), record);
            }
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException(e);
        }
    }

    private void journal(Side side, LogRecord record) throws InvalidProtocolBufferException {
        JournalRecord parsed = JournalRecord.parseFrom(record.value());
        side.entries.add(new Entry(record.offset(), record.timestampMs(), parsed));
        PartitionFold.Folded folded = side.full.apply(record.offset(), record.timestampMs(), parsed);
        side.forgetful.apply(record.offset(), record.timestampMs(), parsed);
        world.trace("  %s-%d@%d %s", record.topic(), record.partition(), record.offset(), show(parsed, folded));
        if (parsed.hasDup()) {
            side.dups.add(parsed.getDup().getDuplicate());
        }
        JournalFold journal = folded.journal();
        if (journal == null || !folded.verdict().isAccepted()) {
            return;
        }
        if (side.ended.contains(parsed.getReq())) {
            violation("request %s was revived by %s", parsed.getId(), parsed.getRecordCase());
        }
        if (parsed.hasTokens()) {
            tokens(side, parsed, journal);
        }
        if (journal.terminal()) {
            side.ended.add(parsed.getReq());
            if (parsed.hasEnd()) {
                end(side, parsed, journal);
            }
        }
    }

    private void tokens(Side side, JournalRecord record, JournalFold journal) {
        Submit submit = side.submits.get(record.getReq());
        if (submit == null) {
            violation("tokens of %s, which nobody submitted", record.getId());
            return;
        }
        long[] states = side.states.computeIfAbsent(record.getReq(), req -> {
            long[] fresh = new long[journal.choices()];
            for (int c = 0; c < fresh.length; c++) {
                fresh[c] = MockEngine.start(submit.getSeed(), c);
            }
            return fresh;
        });
        Tokens tokens = record.getTokens();
        int c = tokens.getChoice();
        for (int token : tokens.getIdsList()) {
            if (!MockEngine.belongs(states[c], token)) {
                violation("a token of %s at %d does not belong to its prefix", record.getId(), tokens.getStart());
            }
            states[c] = MockEngine.next(states[c], token);
            accepted++;
        }
    }

    private void end(Side side, JournalRecord record, JournalFold journal) {
        completed++;
        Submit submit = side.submits.get(record.getReq());
        for (int c = 0; submit != null && c < journal.choices(); c++) {
            int length = MockEngine.length(submit.getSeed(), c);
            if (journal.accepted(c) != length) {
                violation("%s ended with %d tokens, not %d", record.getId(), journal.accepted(c), length);
            }
        }
    }

    private static String show(JournalRecord record, PartitionFold.Folded folded) {
        JournalFold journal = folded.journal();
        return "%s %s %s attempt=%s accepted=%s"
                .formatted(
                        record.getId(),
                        record.toString().replaceAll("\\s+", " "),
                        folded.verdict(),
                        journal == null ? "-" : journal.attempt(),
                        journal == null ? "-" : journal.acceptedTotal());
    }

    /** Whether everything submitted has ended. */
    boolean allEnded() {
        return firstOpen() == null;
    }

    @Nullable
    String firstOpen() {
        for (Side side : sides) {
            for (Map.Entry<Long, Submit> submit : side.submits.entrySet()) {
                if (!side.ended.contains(submit.getKey()) && !side.dups.contains(submit.getKey())) {
                    return "request at " + submit.getKey() + " of "
                            + submit.getValue().getGateway();
                }
            }
        }
        return null;
    }

    int submitted() {
        return sides.stream().mapToInt(side -> side.submits.size()).sum();
    }

    /** Compares all readers with the one that has read everything. */
    void compareReaders(List<PartitionFold> routerFolds, int partition) {
        Side side = sides.get(partition);
        compare("a reader that forgets", side.forgetful, side.full, 0);
        for (PartitionFold fold : routerFolds) {
            if (fold.position() == side.full.position()) {
                compare("a router", fold, side.full, fold.floor());
            }
        }
        List<LogRecord> checkpoints = world.log.part(Topic.CHECKPOINTS, partition).records;
        int stride = Math.max(1, checkpoints.size() / 4);
        for (int i = checkpoints.size() - 1; i >= 0; i -= stride) {
            try {
                fromCheckpoint(side, Checkpoint.parseFrom(checkpoints.get(i).value()));
            } catch (InvalidProtocolBufferException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private void fromCheckpoint(Side side, Checkpoint checkpoint) {
        PartitionFold fold = world.mutation.fold(Keep.COUNTS, checkpoint.getRequestsOffset(), Integer.MAX_VALUE);
        for (Entry entry : side.entries) {
            if (entry.offset() >= checkpoint.getResponsesOffset()) {
                fold.apply(entry.offset(), entry.timestampMs(), entry.record());
            }
        }
        String who = "a reader from checkpoint (%d, %d)"
                .formatted(checkpoint.getRequestsOffset(), checkpoint.getResponsesOffset());
        compare(who, fold, side.full, 0);
        for (JournalFold journal : side.full.journals()) {
            if (journal.req() >= checkpoint.getRequestsOffset()
                    && fold.journals().stream().noneMatch(each -> each.req() == journal.req())) {
                violation("%s does not see %s", who, journal.id());
            }
        }
    }

    private void compare(String who, PartitionFold fold, PartitionFold full, long floor) {
        Map<String, JournalFold> byId = new HashMap<>();
        for (JournalFold journal : full.journals()) {
            byId.put(journal.id() + "@" + journal.req(), journal);
        }
        for (JournalFold journal : fold.journals()) {
            JournalFold other = byId.get(journal.id() + "@" + journal.req());
            if (journal.req() >= floor && (other == null || !state(journal).equals(state(other)))) {
                violation(
                        "%s sees %s as %s, others as %s",
                        who, journal.id(), state(journal), other == null ? "nothing" : state(other));
            }
        }
    }

    private static String state(JournalFold journal) {
        StringBuilder counts = new StringBuilder();
        for (int c = 0; c < journal.choices(); c++) {
            counts.append(journal.accepted(c)).append(journal.ended(c) ? "! " : " ");
        }
        return "attempt %d, %s%s, began %d, ended %d"
                .formatted(
                        journal.attempt(),
                        counts,
                        journal.terminal() ? "terminal" : "open",
                        journal.beginOffset(),
                        journal.endOffset());
    }
}
