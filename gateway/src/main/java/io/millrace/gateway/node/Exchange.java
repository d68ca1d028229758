package io.millrace.gateway.node;

import io.millrace.gateway.node.CallObserver.Outcome;
import io.millrace.gateway.stream.Accepted;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.gateway.stream.Frames;
import io.millrace.gateway.stream.JournalErrors;
import io.millrace.gateway.stream.Renderer;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.JournalRecord;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;
import reactor.core.publisher.Sinks;
import reactor.util.concurrent.Queues;

/**
 * One call from its append to its last event: folds its journals, decides the HTTP status, and hands on what the renderer
 * makes of the accepted records.
 *
 * <p>All state belongs to the hub's thread. {@link #opening}, {@link #body}, {@link #clientGone} and {@link #acknowledged} may be
 * called from any.
 *
 * @param <T> what is sent at once
 */
public final class Exchange<T> implements JournalHub.Subscriber {

    private static final Logger LOG = LoggerFactory.getLogger(Exchange.class);

    private enum State {
        WAITING,
        OPEN,
        /** Ended: what is gathered is still to be sent. */
        ENDED,
        CLOSED
    }

    /** When the status is decided, and when the answer is over. */
    public enum Mode {
        /** 200 with the first token, or the end of an answer in one piece; an error before is the status. */
        DIRECT,
        /** 200 as soon as the request is admitted: whatever comes of it is told in the body. */
        INSIDE,
        /** The answer is how it stands once it is admitted. */
        ADMITTED,
        /** The answer is how it stands once all of the journal has been read. */
        AS_IT_IS;

        /** Of a new call. */
        static Mode of(Call call) {
            if (!call.first().getBackground()) {
                return DIRECT;
            }
            return call.shape().getStream() ? INSIDE : ADMITTED;
        }
    }

    /** What an exchange asks of the log. Called on the hub's thread. */
    interface Port {

        /** The client does not read any more: DETACH what still runs. */
        void detach();

        /** Nobody will want the answer: CANCEL what still runs. */
        void cancel(String cause);

        /** Nothing more is to be read for it. */
        void forget();
    }

    private final Call call;
    private final NodeSettings settings;
    private final Clock clock;
    private final JournalHub hub;
    private final Port port;
    private final CallObserver observer;
    private final Mode mode;
    private final Renderer renderer;
    private final Frames<T> frames;
    private final Map<String, Integer> prompts = new HashMap<>();
    private final @Nullable JournalFold[] folds;
    private final long startNanos;
    private final Sinks.One<Opened> opening = Sinks.one();
    private final Sinks.Many<Sent<T>> out = Sinks.many()
            .unicast()
            .onBackpressureBuffer(Queues.<Sent<T>>unbounded().get());
    private final Sinks.Empty<Void> cut = Sinks.empty();
    private final AtomicLong lagBytes = new AtomicLong();
    private State state = State.WAITING;
    /** Accepted before the first part's journal began. */
    private final List<Accepted> held = new ArrayList<>();

    /** Bytes gathered before the events of the last record. */
    private int beforeLast;

    private boolean placed;
    private volatile boolean acknowledged;
    private boolean live = true;
    private long lastSentNanos;

    private record Sent<T>(T frames, int size) {}

    /** The call is answered with 200: its {@link #body} follows. */
    public enum Opened {
        OPENED
    }

    Exchange(
            Call call,
            Frames<T> frames,
            NodeSettings settings,
            Clock clock,
            JournalHub hub,
            Port port,
            Mode mode,
            Renderer renderer,
            CallObserver observer) {
        this.call = call;
        this.frames = frames;
        this.settings = settings;
        this.clock = clock;
        this.hub = hub;
        this.port = port;
        this.observer = observer;
        this.mode = mode;
        this.renderer = renderer;
        this.folds = new JournalFold[call.parts().size()];
        for (int i = 0; i < folds.length; i++) {
            prompts.put(call.parts().get(i).id().text(), i);
        }
        this.startNanos = clock.nanos();
        this.lastSentNanos = startNanos;
    }

    public Call call() {
        return call;
    }

    /** Completes when the status is decided: a value for 200, {@link ApiException} for an error. Cancelling it is a disconnect. */
    public Mono<Opened> opening() {
        return opening.asMono().doOnCancel(this::clientGone);
    }

    /**
     * The frames, in order, each to be subscribed when it is written: what the transport only takes in advance still counts as
     * the client's lag. For one subscriber; cancelling it is a disconnect.
     */
    public Flux<Mono<T>> writes() {
        return out.asFlux()
                .map(sent -> Mono.fromSupplier(() -> {
                    lagBytes.addAndGet(-sent.size());
                    return sent.frames();
                }))
                .doOnCancel(this::clientGone);
    }

    /** The frames, in order; for one subscriber, instead of {@link #writes}. Cancelling it is a disconnect. */
    public Flux<T> body() {
        return out.asFlux()
                .map(sent -> {
                    lagBytes.addAndGet(-sent.size());
                    return sent.frames();
                })
                .doOnCancel(this::clientGone);
    }

    /**
     * Completes when the client was too slow: its connection is to be closed at once. The error in {@link #writes} says the same, but
     * only after all that waits before it, which a client that has stopped reading never takes.
     */
    public Mono<Void> cut() {
        return cut.asMono();
    }

    /** The client's connection has ended. */
    public void clientGone() {
        hub.execute(() -> {
            if (state != State.CLOSED) {
                if (state != State.ENDED) {
                    leave();
                    observer.ended(Outcome.DETACHED, renderer.progress(), null);
                }
                close();
            }
        });
    }

    /** Kafka has confirmed every request of the call. */
    void acknowledged() {
        acknowledged = true;
    }

    boolean closed() {
        return state == State.CLOSED || state == State.ENDED;
    }

    /** Bytes that the client has not taken yet. */
    long lag() {
        return lagBytes.get() + (state == State.WAITING ? 0 : frames.size());
    }

    /** Whether it reads what is written now; otherwise what was written long ago, perhaps after the deadline. */
    void live(boolean now) {
        live = now;
    }

    /** All of the journal has been read. */
    void caughtUp() {
        if (mode == Mode.AS_IT_IS && !closed()) {
            settle();
            onFlush();
        }
    }

    /** The journal is gone, but not what became of it. */
    void replay(List<JournalRecord> records) {
        for (int i = 0; i < records.size() && !closed(); i++) {
            ApiError error = JournalErrors.of(records.get(i), call, 0);
            if (error == null) {
                accept(new Accepted(0, i, records.get(i)));
            } else {
                end(error, i);
            }
        }
        onFlush();
    }

    private void settle() {
        renderer.now(frames);
        open();
        state = State.ENDED;
        observer.ended(Outcome.COMPLETE, renderer.progress(), null);
    }

    /** Ends the call with an error that stands in no journal. */
    void fail(ApiError error) {
        if (!closed()) {
            end(error, Frames.NOWHERE);
            onFlush();
        }
    }

    @Override
    public void onRecord(String key, LogRecord log) {
        Integer prompt = prompts.get(key);
        JournalRecord record = KeyedStart.parse(log);
        if (prompt == null || record == null || closed()) {
            return;
        }
        JournalFold fold = folds[prompt];
        if (fold == null) {
            if (!record.hasAdmit() && !record.hasReject()) {
                return;
            }
            fold = new JournalFold(key, record.getReq(), JournalFold.Keep.COUNTS);
            folds[prompt] = fold;
        }
        if (!fold.apply(log.offset(), log.timestampMs(), record).isAccepted()) {
            return;
        }
        ApiError error = JournalErrors.of(record, call, prompt);
        if (error == null) {
            place(new Accepted(prompt, log.offset(), record));
            return;
        }
        if (call.parts().size() > 1) {
            port.cancel("another prompt of the call failed");
        }
        end(error, log.offset());
    }

    /** Accepts in order, but nothing before it can be said where the call stands in the log. */
    private void place(Accepted accepted) {
        if (placed) {
            accept(accepted);
            return;
        }
        held.add(accepted);
        JournalFold first = folds[0];
        if (first != null) {
            placed = true;
            frames.begin(first.req(), held.getFirst().offset());
            List<Accepted> all = List.copyOf(held);
            held.clear();
            for (Accepted each : all) {
                if (!closed()) {
                    accept(each);
                }
            }
        }
    }

    private void accept(Accepted accepted) {
        JournalRecord record = accepted.record();
        if (record.hasTokens()) {
            observer.tokens(
                    accepted.prompt() * call.n() + record.getTokens().getChoice(),
                    record.getTokens().getIdsCount());
        }
        beforeLast = frames.size();
        renderer.accept(accepted, frames);
        if (call.shape().getStream() && (record.hasTokens() || record.hasEnd())) {
            open();
        }
        if (record.hasAdmit() && mode == Mode.INSIDE) {
            open();
        }
        if (record.hasAdmit() && mode == Mode.ADMITTED) {
            settle();
            return;
        }
        if (renderer.progress().complete()) {
            open();
            state = State.ENDED;
            observer.ended(Outcome.COMPLETE, renderer.progress(), null);
        }
    }

    private void end(ApiError error, long offset) {
        if (state == State.WAITING && mode == Mode.AS_IT_IS && offset >= 0) {
            open();
        }
        if (state == State.WAITING) {
            state = State.ENDED;
            opening.tryEmitError(new ApiException(error));
            frames.take();
        } else {
            renderer.fail(error, offset, frames);
            state = State.ENDED;
        }
        observer.ended(Outcome.ERROR, renderer.progress(), error);
    }

    private void open() {
        if (state == State.WAITING) {
            state = State.OPEN;
            opening.tryEmitValue(Opened.OPENED);
        }
    }

    @Override
    public void onFlush() {
        if (state != State.OPEN && state != State.ENDED) {
            return;
        }
        int size = frames.size();
        if (size > 0) {
            // The events of one record make no client slow, however large: the last ones of a response repeat all of
            // it.
            long waiting = lagBytes.getAndAdd(size) + beforeLast;
            beforeLast = 0;
            if (waiting > settings.lagBytesMax() && call.shape().getStream()) {
                cutOff(waiting);
                return;
            }
            lastSentNanos = clock.nanos();
            out.tryEmitNext(new Sent<>(frames.take(), size));
        }
        if (state == State.ENDED) {
            out.tryEmitComplete();
            close();
        }
    }

    /** The client reads too slowly: ends the connection, not the request; it may come back for the rest. */
    private void cutOff(long waitingBytes) {
        if (state == State.OPEN) {
            leave();
            observer.ended(Outcome.DETACHED, renderer.progress(), null);
        }
        close();
        var slow = new SlowClientException(waitingBytes);
        LOG.info("the client of request {} is cut: {}", call.id(), slow.getMessage());
        cut.tryEmitEmpty();
        out.tryEmitError(slow);
    }

    @Override
    public void onTick(long nowNanos) {
        if (closed()) {
            return;
        }
        long waited = nowNanos - startNanos;
        if (!acknowledged && waited > settings.appendTimeout().toNanos()) {
            port.cancel("not confirmed in time");
            fail(GatewayErrors.logUnavailable(waited / 1_000_000));
        } else if (live
                && clock.wallMs()
                        > call.first().getDeadlineMs()
                                + settings.deadlineGrace().toMillis()) {
            port.cancel("deadline");
            fail(GatewayErrors.deadline(call.first()));
        } else if (call.shape().getStream()) {
            keepAlive(nowNanos, waited);
        } else if (mode == Mode.ADMITTED && waited > settings.openAfter().toNanos()) {
            settle();
            onFlush();
        }
    }

    private void keepAlive(long nowNanos, long waited) {
        if (state == State.WAITING && waited > settings.openAfter().toNanos()) {
            open();
            frames.heartbeat();
            onFlush();
        } else if (state == State.OPEN
                && nowNanos - lastSentNanos > settings.heartbeat().toNanos()) {
            lastSentNanos = nowNanos;
            frames.heartbeat();
            onFlush();
        }
    }

    @Override
    public void onLost(int partition) {
        if (partition == call.partition()) {
            fail(GatewayErrors.journalLost());
        }
    }

    /** Ends the connection without another event: after a record that could not be rendered, the rest would have a gap. */
    @Override
    public void onFault() {
        if (state == State.CLOSED) {
            return;
        }
        ApiError error = GatewayErrors.internal();
        leave();
        close();
        opening.tryEmitError(new ApiException(error));
        out.tryEmitError(new ApiException(error));
        observer.ended(Outcome.ERROR, renderer.progress(), error);
    }

    /** The reader's thread has stopped, so that this one may take its place. */
    @Override
    public void onClosed() {
        fail(GatewayErrors.shuttingDown());
    }

    private void leave() {
        if (!call.first().getBackground()) {
            port.detach();
        }
    }

    private void close() {
        state = State.CLOSED;
        port.forget();
    }
}
