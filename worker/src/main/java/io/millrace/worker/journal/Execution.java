package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Usage;
import io.millrace.worker.engine.GenerationListener;
import io.millrace.worker.engine.PoolingListener;
import io.millrace.worker.sampling.SampledToken;
import io.opentelemetry.api.trace.SpanContext;
import java.util.List;

/**
 * One attempt at one request on this worker: turns what the engine says into journal records, in its order.
 *
 * <p>It is over when it has written its last record, was cancelled, or when an append failed: then nothing more is written except a YIELD.
 * Thread-safe: engine, log and reader threads call in; the lock is held only for moments.
 */
final class Execution implements GenerationListener, PoolingListener {

    private static final int EARLY_TOKENS = 4;

    /** What an execution tells its worker. */
    interface Owner {

        /** Nothing more will be generated; the engine may still have it. */
        void onStopped(Execution execution);

        /** Nothing more will be written, and what was written is confirmed or lost: forget it. */
        void onOver(Execution execution);

        /** Its prompt is in the cache now. */
        void onPrefilled(Execution execution, List<Long> prefixHashes, int promptTokens);
    }

    /** What all executions of a worker share. */
    record Surroundings(WorkerIdentity worker, JournalWriter writer, Clock clock, Owner owner) {}

    private enum Phase {
        PREPARING,
        WAITING,
        PREFILL,
        DECODE,
        OVER
    }

    private final String id;
    private final long req;
    private final int partition;
    private final Dispatch dispatch;
    private final ByteString aid;
    private final String key;
    private final HostedModel model;
    private final WorkerIdentity worker;
    private final JournalWriter writer;
    private final Clock clock;
    private final WorkerMetrics metrics;
    private final ExecutionSpans spans;
    private final Owner owner;
    private final AttemptRecords records;
    private final AttemptProgress progress;

    private Phase phase = Phase.PREPARING;
    private boolean claimed;
    private BlamedFields fields = BlamedFields.NONE;
    private List<Long> prefixHashes = List.of();
    private String outputKind = "";

    Execution(
            String id,
            long req,
            int partition,
            Dispatch dispatch,
            ByteString aid,
            HostedModel model,
            WorkerMetrics metrics,
            ExecutionSpans spans,
            Surroundings around) {
        this.id = id;
        this.req = req;
        this.partition = partition;
        this.dispatch = dispatch;
        this.aid = aid;
        this.key = hex(aid);
        this.model = model;
        this.metrics = metrics;
        this.spans = spans;
        this.worker = around.worker();
        this.writer = around.writer();
        this.clock = around.clock();
        this.owner = around.owner();
        this.records = new AttemptRecords(id, req, dispatch, aid, model, worker);
        this.progress = new AttemptProgress(clock.nanos());
        // A router's CLAIM stands in the journal already.
        this.claimed = !dispatch.getAid().isEmpty();
    }

    static String hex(ByteString aid) {
        return java.util.HexFormat.of().formatHex(aid.toByteArray());
    }

    String key() {
        return key;
    }

    HostedModel model() {
        return model;
    }

    Dispatch dispatch() {
        return dispatch;
    }

    boolean is(String otherId, long otherReq, int otherPartition) {
        return req == otherReq && partition == otherPartition && id.equals(otherId);
    }

    String describe() {
        return "request " + id + ", attempt " + dispatch.getAttempt();
    }

    SpanContext spanContext() {
        return spans.spanContext();
    }

    synchronized boolean isOver() {
        return phase == Phase.OVER;
    }

    /** It has not begun in the engine. */
    synchronized boolean isIdle() {
        return phase == Phase.PREPARING || phase == Phase.WAITING;
    }

    /** As the heartbeats list it. */
    synchronized RunningAttempt listed() {
        return RunningAttempt.newBuilder()
                .setId(id)
                .setReq(req)
                .setPartition(partition)
                .setAid(claimed ? aid : ByteString.EMPTY)
                .setAttempt(dispatch.getAttempt())
                .setEarly(phase == Phase.PREFILL || (phase == Phase.DECODE && progress.produced() < EARLY_TOKENS))
                .build();
    }

    /**
     * Claims an attempt that came without an aid in the journal, or for a router's own checks that this worker came to the same prompt.
     *
     * @return false when it may not run: it was cancelled meanwhile, or the prompts differ
     */
    synchronized boolean claim(Submit submit, int promptLength, long promptHash, List<int[]> accepted, boolean[] over) {
        if (phase != Phase.PREPARING) {
            return false;
        }
        progress.prepared(promptLength, accepted, over);
        fields = BlamedFields.of(submit);
        prefixHashes = submit.getPrefixHashList();
        outputKind = submit.getTask() == Submit.Task.SCORE ? "score" : "embedding";
        spans.request(submit, promptLength);
        if (!claimed) {
            claimed = true;
            append(records.claim(promptLength, promptHash, spans.trace()));
            if (isOver()) {
                return false;
            }
        } else if (dispatch.getPromptHash() != 0 && dispatch.getPromptHash() != promptHash) {
            fail(new Preparation.Refused(
                    500,
                    "prompt_mismatch",
                    "this worker made another prompt of the request than the worker before",
                    ""));
            return false;
        }
        phase = Phase.WAITING;
        metrics.started(promptLength);
        return true;
    }

    /** The prompt's own text, for a client that gave ids and wants them back. */
    synchronized void echo(int[] prompt) {
        if (phase == Phase.OVER) {
            return;
        }
        append(records.echo(prompt));
    }

    /** Validation said no. */
    synchronized void refuse(Preparation.Refused refusal) {
        if (phase != Phase.PREPARING) {
            return;
        }
        if (claimed) {
            fail(refusal);
            return;
        }
        finish("refused", records.refuse(refusal));
        spans.stopped(refusal.code(), false);
        over("refused", refusal.code());
    }

    /** The attempt's line in the log. */
    private void over(String outcome, String cause) {
        RequestLog.attempt(
                outcome,
                cause,
                new RequestLog.Attempt(
                        id,
                        spans.traceId(),
                        model.name(),
                        worker.id(),
                        dispatch.getAttempt(),
                        progress.promptTokens(),
                        progress.cachedTokens(),
                        progress.produced()),
                new RequestLog.Times(
                        progress.receivedNanos(), progress.scheduledNanos(), progress.firstNanos(), clock.nanos()));
    }

    /**
     * Hands the attempt back: nothing more of it counts. One that is not claimed yet is claimed first, so that the router may
     * fence at once.
     */
    synchronized void giveBack(String cause) {
        if (phase == Phase.OVER) {
            return;
        }
        phase = Phase.OVER;
        if (!claimed) {
            claimed = true;
            append(records.claim(0, 0, spans.trace()));
        }
        finish("yielded", records.yield(cause, progress.counts()));
        spans.stopped(cause, false);
        over("yielded", cause);
        owner.onStopped(this);
    }

    /** Stops without a word: someone else has the request, or it has ended. */
    synchronized void drop(String cause) {
        if (phase == Phase.OVER) {
            return;
        }
        phase = Phase.OVER;
        metrics.outcome("cancelled");
        spans.stopped(cause, false);
        over("cancelled", cause);
        owner.onStopped(this);
        owner.onOver(this);
    }

    private void fail(Preparation.Refused why) {
        finish("failed", records.fail(why, progress.sum()));
        spans.stopped(why.code(), true);
        over("failed", why.code());
        owner.onStopped(this);
    }

    @Override
    public synchronized void onScheduled(int cached) {
        if (phase == Phase.WAITING) {
            phase = Phase.PREFILL;
            long waitedNanos = progress.scheduled(cached, clock.nanos());
            spans.measured(() -> metrics.scheduled(waitedNanos));
            spans.scheduled(cached);
        }
    }

    @Override
    public synchronized void onTokens(int choice, int start, List<SampledToken> tokens, String text) {
        if (phase == Phase.OVER) {
            return;
        }
        long now = clock.nanos();
        first(now);
        append(records.tokens(choice, start, tokens, text));
        long gapNanos = progress.tokens(choice, start, tokens.size(), now);
        spans.measured(() -> metrics.tokens(tokens.size(), gapNanos));
    }

    private void first(long now) {
        if (phase == Phase.DECODE) {
            return;
        }
        phase = Phase.DECODE;
        progress.first(now);
        spans.measured(() -> metrics.first(now - progress.receivedNanos(), now - progress.scheduledNanos()));
        spans.firstToken();
        owner.onPrefilled(this, prefixHashes, progress.promptTokens());
    }

    @Override
    public synchronized void onPromptLogprobs(List<SampledToken> tokens) {
        if (phase == Phase.OVER) {
            return;
        }
        append(records.promptLogprobs(tokens));
    }

    @Override
    public synchronized void onOutput(int index, float[] values) {
        if (phase == Phase.OVER) {
            return;
        }
        first(clock.nanos());
        append(records.output(index, outputKind, values));
    }

    /** Writes an answer that was made without the engine, and ends: the output in its parts, or none where it stands already. */
    synchronized void answer(String kind, List<ByteString> parts) {
        for (int i = 0; i < parts.size() && phase != Phase.OVER; i++) {
            append(records.part(0, kind, i, i == parts.size() - 1, parts.get(i)));
        }
        if (phase != Phase.OVER) {
            finish("finished", records.end(0, "stop", "", "", Usage.getDefaultInstance()));
            spans.finished(0, "stop");
        }
    }

    @Override
    public synchronized void onReasoning(int choice, int tokens) {
        if (phase != Phase.OVER) {
            progress.reasoning(choice, tokens);
        }
    }

    @Override
    public void onPooled() {
        onEnd(0, 0, "stop", "", "");
    }

    @Override
    public synchronized void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
        if (phase == Phase.OVER) {
            return;
        }
        long now = clock.nanos();
        first(now);
        JournalRecord record = records.end(choice, finishReason, stopReason, text, progress.usage(choice, n));
        if (!progress.ended(choice)) {
            append(record);
            return;
        }
        finish("finished", record);
        spans.measured(() -> metrics.ended(now - progress.firstNanos()));
        spans.finished(progress.sum(), finishReason);
        over("finished", finishReason);
    }

    @Override
    public synchronized void onFailure(String code, String message, boolean retryable) {
        if (phase == Phase.OVER) {
            return;
        }
        if (retryable) {
            giveBack(EngineFailures.cause(code));
        } else {
            fail(new Preparation.Refused(
                    EngineFailures.status(code), EngineFailures.code(code), message, fields.of(code)));
        }
    }

    @Override
    public void onCancelled() {
        drop("cancelled");
    }

    /** Appends a record that more may follow. */
    private void append(JournalRecord record) {
        writer.journal(partition, record, spans.trace()).whenComplete((offset, error) -> {
            if (error != null) {
                giveBack("log");
            }
        });
    }

    /** Appends the last record; the worker forgets the execution once it is confirmed, or known not to be. */
    private void finish(String outcome, JournalRecord last) {
        phase = Phase.OVER;
        metrics.outcome(outcome);
        writer.journal(partition, last, spans.trace()).whenComplete((offset, error) -> owner.onOver(this));
    }
}
