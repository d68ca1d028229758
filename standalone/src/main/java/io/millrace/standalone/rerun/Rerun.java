package io.millrace.standalone.rerun;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;

/** Appends a request to the log as a gateway does, and follows its journal to its end. */
final class Rerun {

    private static final Duration DEADLINE_LEAST = Duration.ofMinutes(1);

    private final Log log;
    private final Duration patience;

    /** @param patience with Kafka and with the request, each */
    Rerun(Log log, Duration patience) {
        this.log = log;
        this.patience = patience;
    }

    /**
     * The same request for a second life: a new time and deadline, no client, and what templates see of the time is as it was.
     */
    static Submit.Builder again(Submit submit) {
        long now = System.currentTimeMillis();
        long span = Math.max(submit.getDeadlineMs() - submit.getCreatedMs(), DEADLINE_LEAST.toMillis());
        return submit.toBuilder()
                .setTemplateMs(submit.getTemplateMs() > 0 ? submit.getTemplateMs() : submit.getCreatedMs())
                .setCreatedMs(now)
                .setDeadlineMs(now + span)
                .setBackground(true)
                .clearGateway()
                .clearTrace()
                .clearIdempotencyKey()
                .clearBodyHash();
    }

    /** What a run came to; {@code earlier}: a request of that id was there already, and this is its outcome. */
    record Ran(Outcome outcome, boolean earlier) {}

    /**
     * Runs the request, or follows the one of that id that is there already.
     *
     * @throws MillraceException MR-RERUN-002 it has not ended in time, MR-RERUN-003 Kafka does not take it
     */
    Ran run(RequestId id, Submit submit) throws InterruptedException {
        var following = new Following(id);
        try (LogReader reader = log.reader("rerun", following)) {
            reader.assign(Topic.RESPONSES, id.partition(), LogReader.BEGINNING);
            within(following.caughtUp, "Kafka");
            byte[] record = RequestRecord.newBuilder()
                    .setId(id.text())
                    .setSubmit(submit)
                    .build()
                    .toByteArray();
            long req;
            try {
                req = log.append(Topic.REQUESTS, id.partition(), id.text(), record, submit.getTrace())
                        .get(patience.toMillis(), TimeUnit.MILLISECONDS);
            } catch (TimeoutException | ExecutionException e) {
                throw new MillraceException(
                        "MR-RERUN-003",
                        "Kafka did not take request " + id.text() + ": " + e + ". Check --kafka and its permissions.",
                        e);
            }
            Outcome outcome = within(following.ended, "request " + id.text());
            return new Ran(outcome, following.req() != req);
        }
    }

    private <T> T within(CompletableFuture<T> what, String name) throws InterruptedException {
        try {
            return what.get(patience.toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException | ExecutionException e) {
            throw new MillraceException(
                    "MR-RERUN-002",
                    "No end of " + name + " within " + patience.toSeconds()
                            + " s. Is a router and a worker of its model running? './millrace trace' shows a request; wait longer with --patience.",
                    e);
        }
    }

    /** Journals under the id's key; the first that was admitted, or else the last one that ended, is the request's. */
    private static final class Following implements LogReader.Listener {

        final CompletableFuture<Boolean> caughtUp = new CompletableFuture<>();
        final CompletableFuture<Outcome> ended = new CompletableFuture<>();
        private final RequestId id;
        private final Map<Long, Outcome.Gathering> journals = new HashMap<>();
        private volatile @Nullable Long req;

        Following(RequestId id) {
            this.id = id;
        }

        long req() {
            Long found = req;
            return found == null ? -1 : found;
        }

        @Override
        public void onRecord(LogRecord record) {
            byte[] value = record.value();
            if (value == null || !id.text().equals(record.key())) {
                return;
            }
            try {
                JournalRecord parsed = JournalRecord.parseFrom(value);
                Outcome.Gathering journal =
                        journals.computeIfAbsent(parsed.getReq(), offset -> new Outcome.Gathering(id.text(), offset));
                journal.add(record.offset(), record.timestampMs(), parsed);
                if (journal.ended() && !parsed.hasReject() && !ended.isDone()) {
                    req = parsed.getReq();
                    ended.complete(journal.outcome());
                } else if (parsed.hasReject() && caughtUp.isDone() && !ended.isDone()) {
                    // One of before only says that it may be tried again.
                    req = parsed.getReq();
                    ended.complete(journal.outcome());
                }
            } catch (InvalidProtocolBufferException malformed) {
                ended.completeExceptionally(malformed);
            }
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long position) {
            caughtUp.complete(true);
        }
    }
}
