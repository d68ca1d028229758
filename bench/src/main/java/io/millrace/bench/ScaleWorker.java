package io.millrace.bench;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.topic.Topic;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;

/** One worker of the simulated deployment: claims what it is assigned, and writes a token of each stream in every turn. Not thread-safe. */
final class ScaleWorker {

    private static final class Stream {
        final Assignment assignment;
        final ByteString aid;
        final int length;
        int produced;

        Stream(Assignment assignment, ByteString aid) {
            this.assignment = assignment;
            this.aid = aid;
            this.length = assignment.getDispatch().getSubmit().getSampling().getMaxTokens();
        }
    }

    private final int slot;
    private final String name;
    private final long incarnation;
    private final int hints;
    private final ArrayDeque<Long> prefixes = new ArrayDeque<>();
    private final List<Stream> streams = new ArrayList<>();
    private long position;
    private long drawn;

    /** @param hints prefixes that its beats name */
    ScaleWorker(int slot, int hints) {
        this.slot = slot;
        this.name = "worker-" + slot;
        this.incarnation = -1L - slot;
        this.hints = hints;
    }

    void turn(ScaleLog log, long nowMs) {
        for (Stream stream : List.copyOf(streams)) {
            if (stream.produced < stream.length) {
                journal(
                        log,
                        stream,
                        LogScale.tokens(id(stream), req(stream), stream.aid, stream.produced++),
                        true,
                        nowMs);
            } else {
                journal(log, stream, LogScale.end(id(stream), req(stream), stream.aid, stream.length), false, nowMs);
                streams.remove(stream);
            }
        }
        for (LogRecord record : log.fresh(Topic.ASSIGNMENTS, slot)) {
            position = record.offset() + 1;
            Assignment assignment = parse(record);
            if (assignment.hasDispatch()) {
                claim(log, assignment, nowMs);
            }
        }
    }

    private static Assignment parse(LogRecord record) {
        try {
            return Assignment.parseFrom(record.value());
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException("the router wrote an assignment that is none", e);
        }
    }

    private void claim(ScaleLog log, Assignment assignment, long nowMs) {
        ByteString aid = ByteString.copyFrom(
                ByteBuffer.allocate(16).putLong(incarnation).putLong(++drawn).array());
        Stream stream = new Stream(assignment, aid);
        streams.add(stream);
        for (long hash : assignment.getDispatch().getSubmit().getPrefixHashList()) {
            prefixes.add(hash);
        }
        while (prefixes.size() > hints) {
            prefixes.removeFirst();
        }
        journal(log, stream, LogScale.claim(id(stream), req(stream), aid, name, incarnation), false, nowMs);
    }

    private static String id(Stream stream) {
        return stream.assignment.getId();
    }

    private static long req(Stream stream) {
        return stream.assignment.getReq();
    }

    private static void journal(ScaleLog log, Stream stream, JournalRecord record, boolean token, long nowMs) {
        log.append(Topic.RESPONSES, stream.assignment.getPartition(), id(stream), record.toByteArray(), token, nowMs);
    }

    void beat(ScaleLog log, int places, long nowMs) {
        List<RunningAttempt> attempts = new ArrayList<>();
        for (Stream stream : streams) {
            attempts.add(RunningAttempt.newBuilder()
                    .setId(id(stream))
                    .setReq(req(stream))
                    .setPartition(stream.assignment.getPartition())
                    .setAid(stream.aid)
                    .setAttempt(1)
                    .build());
        }
        WorkerBeat beat = LogScale.workerBeat(attempts, prefixes).toBuilder()
                .setWorker(name)
                .setIncarnation(incarnation)
                .setSlot(slot)
                .setTimeMs(nowMs)
                .setAssignmentsPosition(position)
                .build();
        beat = beat.toBuilder()
                .setModels(
                        0,
                        beat.getModels(0).toBuilder().setRunning(streams.size()).setMaxRunning(places))
                .build();
        log.append(Topic.WORKERS, 0, name, beat.toByteArray(), false, nowMs);
    }

    int running() {
        return streams.size();
    }
}
