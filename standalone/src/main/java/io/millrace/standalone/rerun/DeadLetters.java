package io.millrace.standalone.rerun;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.DeadLetter;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.topic.Topic;
import io.millrace.shared.trace.LogScan;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Requests that ended their workers, as the topic {@code dead-letters} has them. */
public final class DeadLetters {

    private static final int ID_BYTES = 16;

    private final Log log;
    private final Duration patience;

    public DeadLetters(Log log, Duration patience) {
        this.log = log;
        this.patience = patience;
    }

    /** A line for each, the oldest first, none of them twice. */
    public List<String> list() throws InterruptedException {
        List<String> lines = new ArrayList<>();
        for (DeadLetter each : read().values()) {
            lines.add("%s  %s  tenant %s, model %s: %d crashes, %d of them alone, the last by %s"
                    .formatted(
                            each.getId(),
                            Instant.ofEpochMilli(each.getTimeMs()),
                            each.getSubmit().getTenant(),
                            each.getSubmit().getModel(),
                            each.getCrashes(),
                            each.getSoloCrashes(),
                            each.getCause()));
        }
        return lines;
    }

    /**
     * Everything that one says.
     *
     * @param input its messages or prompt too: they are a user's data
     */
    public List<String> show(RequestId id, boolean input) throws InterruptedException {
        DeadLetter letter = find(id);
        Submit submit = letter.getSubmit();
        List<String> lines = new ArrayList<>(List.of(
                "id         " + letter.getId() + " (record " + letter.getReq() + " of requests-" + letter.getPartition()
                        + ")",
                "failed     " + Instant.ofEpochMilli(letter.getTimeMs()),
                "asked      " + Instant.ofEpochMilli(submit.getCreatedMs()),
                "tenant     " + submit.getTenant(),
                "model      " + submit.getModel(),
                "crashes    " + letter.getCrashes() + ", " + letter.getSoloCrashes() + " of them alone on its worker",
                "cause      " + letter.getCause(),
                "input      " + submit.getInputCase() + ", " + submit.getSerializedSize() + " bytes in all; "
                        + submit.getN() + " choices",
                "seed       " + Long.toUnsignedString(submit.getSeed()),
                "sampling   " + submit.getSampling().toString().strip().replace("\n", "; "),
                "retry as   " + retryId(letter).text()));
        if (input) {
            lines.add(
                    submit.hasChat()
                            ? submit.getChat().getMessagesJson()
                            : submit.hasPromptText()
                                    ? submit.getPromptText()
                                    : String.valueOf(submit.getPromptIds().getIdsList()));
        } else {
            lines.add("--input shows what was asked.");
        }
        return lines;
    }

    /**
     * Runs one once more, as a request with an id of its own. That id follows from the letter's, so it runs once however often it is asked for:
     * later times say what came of it.
     */
    public List<String> retry(RequestId id) throws InterruptedException {
        DeadLetter letter = find(id);
        RequestId fresh = retryId(letter);
        byte[] key = key(letter);
        Submit submit = Rerun.again(letter.getSubmit())
                .setIdempotencyKey(HexFormat.of().formatHex(key))
                .setBodyHash(ByteString.copyFrom(key))
                .build();
        Rerun.Ran ran = new Rerun(log, patience).run(fresh, submit);
        int tokens = ran.outcome().choices().stream()
                .mapToInt(choice -> choice.ids().size())
                .sum();
        return List.of("%s %s: %s, %d tokens"
                .formatted(
                        ran.earlier() ? "was retried already as" : "retried as",
                        fresh.text(),
                        ran.outcome().status(),
                        tokens));
    }

    private RequestId retryId(DeadLetter letter) {
        byte[] key = key(letter);
        int partition = Math.floorMod(ByteBuffer.wrap(key).getInt(ID_BYTES), log.partitions(Topic.REQUESTS));
        return RequestId.of(partition, Arrays.copyOf(key, ID_BYTES));
    }

    private static byte[] key(DeadLetter letter) {
        try {
            return MessageDigest.getInstance("SHA-256")
                    .digest(("dead-letter " + letter.getId() + " " + letter.getReq()).getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    private DeadLetter find(RequestId id) throws InterruptedException {
        DeadLetter letter = read().get(id.text());
        if (letter == null) {
            throw new MillraceException(
                    "MR-RERUN-004",
                    "There is no dead letter " + id.text()
                            + "; './millrace dead-letters list' shows all of the last 7 days.");
        }
        return letter;
    }

    private Map<String, DeadLetter> read() throws InterruptedException {
        Map<String, DeadLetter> letters = new LinkedHashMap<>();
        var scan = new LogScan(log, patience);
        for (int partition = 0; partition < log.partitions(Topic.DEAD_LETTERS); partition++) {
            for (LogRecord record :
                    scan.records(Topic.DEAD_LETTERS, partition, LogReader.BEGINNING, each -> each.value() != null)) {
                byte[] value = record.value();
                try {
                    DeadLetter letter = DeadLetter.parseFrom(value == null ? new byte[0] : value);
                    letters.put(letter.getId(), letter);
                } catch (InvalidProtocolBufferException e) {
                    throw LogScan.malformed(record, e);
                }
            }
        }
        return letters;
    }
}
