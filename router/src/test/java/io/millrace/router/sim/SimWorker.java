package io.millrace.router.sim;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Accepted;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Refuse;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.WorkerBeat;
import io.millrace.shared.proto.Yield;
import io.millrace.shared.topic.Topic;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/** A worker process: the mock engine behind the worker's side of the protocol. */
final class SimWorker extends SimProcess {

    private static final int RUNNING_MAX = 3;

    private final class Execution {
        final Assignment assignment;
        final Dispatch dispatch;
        ByteString aid;
        final long[] states;
        final int[] counts;
        final boolean[] ended;
        boolean running;
        boolean stopped;
        int steps;

        Execution(Assignment assignment) {
            this.assignment = assignment;
            dispatch = assignment.getDispatch();
            aid = dispatch.getAid();
            int n = Math.max(1, dispatch.getSubmit().getN());
            states = new long[n];
            counts = new int[n];
            ended = new boolean[n];
            for (int c = 0; c < n; c++) {
                states[c] = MockEngine.start(dispatch.getSubmit().getSeed(), c);
                if (c < dispatch.getAcceptedCount()) {
                    Accepted accepted = dispatch.getAccepted(c);
                    if (world.mutation != Mutation.RESUME_FROM_PROMPT) {
                        for (int id : accepted.getIdsList()) {
                            states[c] = MockEngine.next(states[c], id);
                        }
                    }
                    counts[c] = accepted.getIdsCount();
                    ended[c] = accepted.getEnded();
                }
            }
        }

        boolean over() {
            for (boolean each : ended) {
                if (!each) {
                    return false;
                }
            }
            return true;
        }

        int sum() {
            int sum = 0;
            for (int count : counts) {
                sum += count;
            }
            return sum;
        }
    }

    final String worker;
    final int slot;
    final long incarnation;
    final long weights;
    private final int noise;
    private int position;
    private long beatMs;
    private final List<Execution> executions = new ArrayList<>();
    /** Aids, and (partition, req) of assignments without one. */
    private final Set<Object> seen = new HashSet<>();

    SimWorker(SimWorld world, String worker, int slot, long incarnation, long weights) {
        super(world, "worker " + worker + "/" + incarnation % 1_000, 20, 60);
        this.worker = worker;
        this.slot = slot;
        this.incarnation = incarnation;
        this.weights = weights;
        this.noise = world.between(0, 15);
        this.position = world.log.part(Topic.ASSIGNMENTS, slot).records.size();
    }

    @Override
    void poll() {
        read();
        int running = 0;
        for (Execution each : List.copyOf(executions)) {
            if (!each.running && running < RUNNING_MAX) {
                begin(each);
            } else if (each.running && !each.stopped) {
                step(each);
            }
            running += each.running ? 1 : 0;
        }
        if (world.now - beatMs >= 230) {
            beatMs = world.now;
            beat();
        }
    }

    private void read() {
        List<LogRecord> records = world.log.part(Topic.ASSIGNMENTS, slot).records;
        while (position < records.size()) {
            LogRecord record = records.get(position++);
            try {
                Assignment assignment = Assignment.parseFrom(record.value());
                if (assignment.getIncarnation() == incarnation) {
                    take(assignment);
                }
            } catch (InvalidProtocolBufferException e) {
                throw new IllegalStateException(e);
            }
        }
    }

    private void take(Assignment assignment) {
        if (assignment.hasCancel()) {
            ByteString aid = assignment.getCancel().getAid();
            for (Execution each : List.copyOf(executions)) {
                if (each.assignment.getReq() == assignment.getReq()
                        && each.assignment.getPartition() == assignment.getPartition()
                        && (aid.isEmpty() || aid.equals(each.aid))) {
                    stop(each);
                }
            }
            return;
        }
        Dispatch dispatch = assignment.getDispatch();
        Object mark = dispatch.getAid().isEmpty()
                ? List.of(assignment.getPartition(), assignment.getReq())
                : dispatch.getAid();
        if (!seen.add(mark) && world.mutation != Mutation.AID_RUN_AGAIN) {
            return;
        }
        executions.add(new Execution(assignment));
    }

    private void stop(Execution execution) {
        execution.stopped = true;
        executions.remove(execution);
    }

    private void begin(Execution execution) {
        Submit submit = execution.dispatch.getSubmit();
        execution.running = true;
        if (execution.aid.isEmpty()) {
            if (submit.getPromptText().equals("refuse")) {
                append(
                        execution,
                        JournalRecord.newBuilder()
                                .setRefuse(Refuse.newBuilder()
                                        .setAttempt(execution.dispatch.getAttempt())
                                        .setStatus(400)
                                        .setCode("invalid")));
                stop(execution);
                return;
            }
            execution.aid = draw(execution);
            append(
                    execution,
                    JournalRecord.newBuilder()
                            .setClaim(Claim.newBuilder()
                                    .setAttempt(execution.dispatch.getAttempt())
                                    .setAid(execution.aid)
                                    .setWorker(worker)
                                    .setIncarnation(incarnation)
                                    .setSlot(slot)
                                    .setWeightsHash(execution.dispatch.getWeightsHash())
                                    .setNumericsId("n" + noise)
                                    .setPromptLength(5)
                                    .setPromptHash(1)));
        }
        if (submit.getPromptText().equals("poison")) {
            die("of " + execution.assignment.getId());
            world.died(this);
        }
    }

    private ByteString draw(Execution execution) {
        byte[] bits = new byte[16];
        if (world.mutation == Mutation.DERIVED_AIDS) {
            byte[] id = execution.assignment.getId().getBytes(StandardCharsets.UTF_8);
            System.arraycopy(id, 0, bits, 0, Math.min(15, id.length));
            bits[15] = (byte) execution.dispatch.getAttempt();
        } else {
            world.random.nextBytes(bits);
        }
        return ByteString.copyFrom(bits);
    }

    private void step(Execution execution) {
        Submit submit = execution.dispatch.getSubmit();
        execution.steps++;
        if (world.now >= submit.getDeadlineMs()) {
            append(
                    execution,
                    JournalRecord.newBuilder()
                            .setFail(Fail.newBuilder()
                                    .setAid(execution.aid)
                                    .setN(execution.sum())
                                    .setStatus(504)
                                    .setCode("deadline_exceeded")));
            stop(execution);
            return;
        }
        if (world.chance(world.yieldRate)) {
            append(
                    execution,
                    JournalRecord.newBuilder()
                            .setYield(Yield.newBuilder().setAid(execution.aid).setCause("memory")));
            stop(execution);
            return;
        }
        for (int c = 0; c < execution.counts.length && !execution.stopped; c++) {
            if (!execution.ended[c]) {
                decode(execution, submit, c);
            }
        }
        if (execution.over()) {
            executions.remove(execution);
        }
    }

    private void decode(Execution execution, Submit submit, int c) {
        int length = MockEngine.length(submit.getSeed(), c);
        int start = execution.counts[c];
        Tokens.Builder tokens =
                Tokens.newBuilder().setAid(execution.aid).setChoice(c).setStart(start);
        int most = world.between(1, 3);
        StringBuilder text = new StringBuilder();
        while (tokens.getIdsCount() < most && execution.counts[c] < length) {
            int token = MockEngine.sample(execution.states[c], world.between(0, 15));
            execution.states[c] = MockEngine.next(execution.states[c], token);
            execution.counts[c]++;
            tokens.addIds(token);
            text.append((char) ('a' + token % 26));
        }
        if (tokens.getIdsCount() > 0) {
            append(execution, JournalRecord.newBuilder().setTokens(tokens.setText(text.toString())));
        }
        if (execution.counts[c] >= length) {
            execution.ended[c] = true;
            append(
                    execution,
                    JournalRecord.newBuilder()
                            .setEnd(End.newBuilder()
                                    .setAid(execution.aid)
                                    .setChoice(c)
                                    .setN(execution.counts[c])
                                    .setFinishReason("stop")));
        }
    }

    private void append(Execution execution, JournalRecord.Builder record) {
        Assignment assignment = execution.assignment;
        world.log.append(
                this,
                Topic.RESPONSES,
                assignment.getPartition(),
                assignment.getId(),
                record.setId(assignment.getId())
                        .setReq(assignment.getReq())
                        .build()
                        .toByteArray(),
                offset -> {},
                () -> stop(execution));
    }

    private void beat() {
        WorkerBeat.Builder beat = WorkerBeat.newBuilder()
                .setWorker(worker)
                .setIncarnation(incarnation)
                .setSlot(slot)
                .setTimeMs(world.now)
                .setLiveness("there:1")
                .setAssignmentsPosition(position);
        int running = 0;
        for (Execution each : executions) {
            running += each.running ? 1 : 0;
            beat.addAttempts(RunningAttempt.newBuilder()
                    .setId(each.assignment.getId())
                    .setReq(each.assignment.getReq())
                    .setPartition(each.assignment.getPartition())
                    .setAid(each.aid)
                    .setAttempt(each.dispatch.getAttempt())
                    .setEarly(each.steps < 2));
        }
        beat.addModels(ServedModel.newBuilder()
                .setName(SimWorld.MODEL)
                .setWeightsHash(weights)
                .setNumericsId("n" + noise)
                .setMaxRunning(RUNNING_MAX)
                .setRunning(running)
                .setWaiting(executions.size() - running));
        world.log.append(this, Topic.WORKERS, 0, worker, beat.build().toByteArray(), offset -> {}, () -> {});
    }
}
