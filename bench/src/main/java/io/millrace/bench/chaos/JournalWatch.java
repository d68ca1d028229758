package io.millrace.bench.chaos;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import org.jspecify.annotations.Nullable;

/** A reader of the log like any other: folds every journal from its beginning, and remembers when what was written. Thread-safe. */
final class JournalWatch implements AutoCloseable {

    private static final int ENDED_MAX = 1_000_000;

    /** A claim after the first. */
    record Fence(long ms, String id, int attempt, String cause) {}

    /** What a journal came to: all readers must agree on it. */
    record Conclusion(String end, int attempts, List<Integer> ids, String text) {}

    private final KafkaLog log;
    private final LogReader reader;
    private final Map<String, Tale> tales = new ConcurrentHashMap<>();
    private final Map<String, Tale> openTales = new ConcurrentHashMap<>();
    private final Map<String, Set<String>> idsOfKey = new ConcurrentHashMap<>();
    private final Map<String, Conclusion> conclusions = new ConcurrentHashMap<>();
    private final List<Fence> fences = new CopyOnWriteArrayList<>();
    private final Map<String, Integer> ignored = new ConcurrentHashMap<>();
    private final Map<Integer, PartitionFold> folds = new HashMap<>();
    /** Records of journals whose request was not read yet: the topics are not read in step. */
    private final Map<String, List<Runnable>> early = new HashMap<>();

    JournalWatch(String bootstrap, String name) {
        log = new KafkaLog(KafkaSettings.of(bootstrap).withClientId(name));
        reader = log.reader(name, this::read);
        for (int partition = 0; partition < ChaosSetup.PARTITIONS; partition++) {
            reader.assign(Topic.REQUESTS, partition, LogReader.BEGINNING);
            reader.assign(Topic.RESPONSES, partition, LogReader.BEGINNING);
        }
    }

    private void read(LogRecord record) {
        byte[] value = record.value();
        if (value == null) {
            return;
        }
        try {
            if (record.topic() == Topic.REQUESTS) {
                request(record, RequestRecord.parseFrom(value));
            } else {
                PartitionFold fold = folds.computeIfAbsent(
                        record.partition(), p -> new PartitionFold(JournalFold.Keep.IDS_AND_TEXT, 0, ENDED_MAX));
                journal(record, fold.apply(record));
            }
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException("a record that is none at offset " + record.offset(), e);
        }
    }

    private void request(LogRecord record, RequestRecord request) {
        if (!request.hasSubmit()) {
            return;
        }
        Submit submit = request.getSubmit();
        idsOfKey.computeIfAbsent(submit.getIdempotencyKey(), k -> ConcurrentHashMap.newKeySet())
                .add(request.getId());
        if (!tales.containsKey(request.getId())) {
            var tale = new Tale(
                    request.getId(),
                    submit.getGateway(),
                    record.timestampMs(),
                    submit.getSampling().getMaxTokens());
            tales.put(request.getId(), tale);
            openTales.put(request.getId(), tale);
        }
        List<Runnable> waiting = early.remove(request.getId());
        if (waiting != null) {
            waiting.forEach(Runnable::run);
        }
    }

    private void journal(LogRecord record, PartitionFold.Folded folded) {
        JournalFold journal = folded.journal();
        JournalRecord written = folded.record();
        if (journal == null || written == null || !folded.verdict().isAccepted()) {
            ignored.merge(kind(written) + " " + folded.verdict(), 1, Integer::sum);
            return;
        }
        // Read out now: the journal goes on.
        int accepted = journal.accepted(0);
        boolean ended = journal.terminal();
        if (ended) {
            conclusions.put(journal.id(), conclusion(journal));
        }
        Runnable telling = () -> tell(record.timestampMs(), written, accepted, ended);
        if (tales.containsKey(journal.id())) {
            telling.run();
        } else {
            early.computeIfAbsent(journal.id(), id -> new ArrayList<>()).add(telling);
        }
    }

    private void tell(long ms, JournalRecord record, int accepted, boolean ended) {
        Tale tale = tales.get(record.getId());
        if (tale == null) {
            return;
        }
        switch (record.getRecordCase()) {
            case ADMIT -> tale.admitted(ms);
            case CLAIM -> {
                tale.claimed(
                        ms, record.getClaim().getAttempt(), record.getClaim().getWorker());
                if (record.getClaim().getAttempt() > 1) {
                    fences.add(new Fence(
                            ms,
                            record.getId(),
                            record.getClaim().getAttempt(),
                            record.getClaim().getCause()));
                }
            }
            case TOKENS -> tale.accepted(ms, accepted);
            default -> {
                // Ends are told below; the rest leaves a request where it is.
            }
        }
        if (ended) {
            tale.ended(ms);
            openTales.remove(record.getId());
        }
    }

    private static String kind(@Nullable JournalRecord record) {
        return record == null ? "nothing" : record.getRecordCase().name();
    }

    private static Conclusion conclusion(JournalFold journal) {
        JournalRecord last = journal.terminalRecord();
        String end = kind(last);
        if (last != null && last.hasFail()) {
            end += " " + last.getFail().getStatus() + " " + last.getFail().getCode();
        } else if (last != null && last.hasReject()) {
            end += " " + last.getReject().getStatus() + " " + last.getReject().getCode();
        } else if (last != null && last.hasCancel()) {
            end += " " + last.getCancel().getCause();
        }
        boolean rejected = journal.rejected();
        return new Conclusion(
                end,
                journal.attempt(),
                rejected ? List.of() : Arrays.stream(journal.ids(0)).boxed().toList(),
                rejected ? "" : journal.text(0));
    }

    /** Those that have not ended. */
    Collection<Tale> open() {
        return openTales.values();
    }

    int size() {
        return tales.size();
    }

    @Nullable
    Tale tale(String id) {
        return tales.get(id);
    }

    /** Where a stream that its client had open was at that time. */
    Phase phaseAt(String id, long ms) {
        Tale tale = tales.get(id);
        Phase phase = tale == null ? null : tale.phaseAt(ms);
        // Its end stands in the log, and its client has not read it yet.
        return tale == null ? Phase.BEFORE_ADMISSION : phase == null ? Phase.NEAR_END : phase;
    }

    Map<String, Conclusion> conclusions() {
        return Map.copyOf(conclusions);
    }

    List<Fence> fences() {
        return List.copyOf(fences);
    }

    /** Records that the fold did not accept, by kind and reason. */
    Map<String, Integer> ignored() {
        return new TreeMap<>(ignored);
    }

    /** Idempotency keys under which more than one id was submitted. */
    long keysOfSeveralIds() {
        return idsOfKey.entrySet().stream()
                .filter(each -> !each.getKey().isEmpty() && each.getValue().size() > 1)
                .count();
    }

    @Override
    public void close() {
        reader.close();
        log.close();
    }
}
