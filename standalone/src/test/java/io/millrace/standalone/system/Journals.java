package io.millrace.standalone.system;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.PartitionFold;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;

/** What requests and journals say, read from the beginning as any reader of the log reads them. */
final class Journals {

    /**
     * A request whose journal is terminal.
     *
     * @param finish finish reason of its first choice; "without END" when it failed or was rejected
     * @param tokens of its first choice
     * @param text of its first choice
     */
    record Ended(Submit submit, String finish, int tokens, String text) {}

    private final Map<String, Submit> accepted = new ConcurrentHashMap<>();
    private final Map<String, Ended> ended = new ConcurrentHashMap<>();
    private final Map<String, JournalFold> early = new ConcurrentHashMap<>();
    private final Set<String> begun = ConcurrentHashMap.newKeySet();
    private final Map<Integer, PartitionFold> folds = new ConcurrentHashMap<>();

    private Journals() {}

    /** Waits until at least so many requests were accepted and every one of them has ended. */
    static List<Ended> awaitAllEnded(String bootstrap, int partitions, int requests) throws InterruptedException {
        var journals = new Journals();
        journals.await(
                bootstrap,
                partitions,
                "the end of all that was accepted",
                () -> journals.accepted.size() >= requests
                        && journals.ended.keySet().containsAll(journals.accepted.keySet()));
        return List.copyOf(journals.ended.values());
    }

    /** Waits until so many requests were accepted and each has tokens in its journal. */
    static void awaitAccepted(String bootstrap, int partitions, int requests) throws InterruptedException {
        var journals = new Journals();
        journals.await(
                bootstrap,
                partitions,
                "tokens of " + requests + " requests",
                () -> journals.accepted.size() >= requests && journals.begun.size() >= requests);
    }

    private void await(String bootstrap, int partitions, String what, BooleanSupplier done)
            throws InterruptedException {
        try (KafkaLog log = new KafkaLog(KafkaSettings.of(bootstrap).withClientId("test"))) {
            LogReader reader = log.reader("test", this::read);
            for (int partition = 0; partition < partitions; partition++) {
                reader.assign(Topic.REQUESTS, partition, LogReader.BEGINNING);
                reader.assign(Topic.RESPONSES, partition, LogReader.BEGINNING);
            }
            Processes.await(what, done);
            reader.close();
        } catch (AssertionError timeout) {
            var open = new TreeSet<>(accepted.keySet());
            open.removeAll(ended.keySet());
            throw new AssertionError(accepted.size() + " accepted, still open: " + open, timeout);
        }
    }

    private void read(LogRecord record) {
        try {
            if (record.topic() == Topic.REQUESTS) {
                RequestRecord request = RequestRecord.parseFrom(record.value());
                if (request.hasSubmit()) {
                    accepted.put(record.key(), request.getSubmit());
                    note(early.remove(record.key()));
                }
            } else {
                PartitionFold fold = folds.computeIfAbsent(
                        record.partition(), p -> new PartitionFold(JournalFold.Keep.IDS_AND_TEXT, 0, 10_000));
                fold.apply(record);
                if (JournalRecord.parseFrom(record.value()).hasTokens()) {
                    begun.add(record.key());
                }
                note(fold.journal(JournalRecord.parseFrom(record.value()).getReq()));
            }
        } catch (InvalidProtocolBufferException e) {
            throw new AssertionError(e);
        }
    }

    private void note(@Nullable JournalFold journal) {
        if (journal == null || !journal.terminal()) {
            return;
        }
        Submit submit = accepted.get(journal.id());
        if (submit == null) {
            early.put(journal.id(), journal); // the topics are not read in step
            return;
        }
        End end = journal.end(0);
        String finish = end == null ? "without END" : end.getFinishReason();
        ended.put(journal.id(), new Ended(submit, finish, journal.accepted(0), journal.text(0)));
    }
}
