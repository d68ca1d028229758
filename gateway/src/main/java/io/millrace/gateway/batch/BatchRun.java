package io.millrace.gateway.batch;

import com.google.protobuf.ByteString;
import io.millrace.gateway.node.LogPieces;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.BatchError;
import io.millrace.shared.proto.BatchInfo;
import io.millrace.shared.proto.BatchLine;
import io.millrace.shared.proto.BatchState;
import io.millrace.shared.proto.BatchState.Status;
import io.millrace.shared.proto.FileInfo;
import java.time.Duration;
import java.util.BitSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/**
 * One batch in the hands of one gateway, from wherever the log says it stands to its end. Whatever it does it may do again, and
 * another gateway beside it: a line is run once for all of them, and of its results in the log the first one counts.
 */
final class BatchRun {

    private static final int ATTEMPTS_MAX = 5;
    /** Of the lines in flight together; what becomes of a line on its way takes several times its own size. */
    private static final long HELD_BYTES_MAX = 8L * 1024 * 1024;

    private static final Duration PAUSE = Duration.ofSeconds(1);
    private static final Duration PAUSE_MAX = Duration.ofSeconds(30);
    /** The request of that key has ended so for ever: only another one can do better. */
    private static final Set<String> ANOTHER = Set.of("deadline_exceeded", "cancelled", "model_replaced");

    private static final Set<Integer> TRANSIENT = Set.of(408, 429, 499, 503, 504);

    private final Registry registry;
    private final FileStore store;
    private final BatchLines lines;
    private final Clock clock;
    private final Limits limits;
    private final BatchInfo batch;
    private final Window window;
    private final BytesInFlight held = new BytesInFlight(HELD_BYTES_MAX);
    private final AtomicInteger completed = new AtomicInteger();
    private final AtomicInteger failed = new AtomicInteger();
    private volatile BatchState state;
    private volatile int reported;

    /**
     * Bounds of a batch.
     *
     * @param lineBytesMax of a line
     * @param concurrent lines in flight
     */
    record Limits(int lineBytesMax, int linesMax, int concurrent) {}

    BatchRun(Registry registry, FileStore store, BatchLines lines, Clock clock, Limits limits, Registry.Batch start) {
        this.registry = registry;
        this.store = store;
        this.lines = lines;
        this.clock = clock;
        this.limits = limits;
        this.batch = start.info();
        this.state = start.state();
        this.window = new Window(limits.concurrent());
    }

    Window window() {
        return window;
    }

    /** Name of its model; empty while that is not known. */
    String model() {
        return state.getModel();
    }

    /** No further line is to begin: it was cancelled, or its time is over. */
    private boolean over() {
        Registry.Batch now = registry.batch(batch.getId());
        return now == null || now.cancelMs() > 0 || now.ended() || expired();
    }

    private boolean expired() {
        return clock.wallMs() >= batch.getExpiresMs();
    }

    /** Takes notice of time and cancellation, and of who waits for the model. */
    void tick(@Nullable ModelState model) {
        if (over()) {
            window.open();
        } else if (model == null || model.workers() == 0) {
            window.close();
        } else {
            window.adapt(model.queued(), model.queuedBeforeBatches());
        }
    }

    /** Says how far it is, when that has changed. */
    Mono<Void> report() {
        BatchState now = state;
        int done = completed.get();
        int bad = failed.get();
        if (now.getStatus() != Status.IN_PROGRESS || done + bad == reported) {
            return Mono.empty();
        }
        reported = done + bad;
        BatchState next = now.toBuilder().setCompleted(done).setFailed(bad).build();
        return Mono.fromFuture(() -> registry.put(batch.getId(), next));
    }

    /** Runs it to its end. */
    Mono<Void> run() {
        return Mono.defer(() -> state.getStatus() == Status.VALIDATING ? validated() : Mono.just(true))
                .flatMap(valid -> valid ? processed() : Mono.empty());
    }

    private Mono<Boolean> validated() {
        return registry.file(batch.getInputFile(), batch.getTenant())
                .flatMap(file -> input(file)
                        .collect(() -> new InputCheck(lines, batch.getEndpoint(), limits.linesMax()), InputCheck::add))
                .map(check -> new Verdict(check.errors(), check.total(), check.model()))
                .onErrorReturn(LogPieces.GoneException.class, missing())
                .defaultIfEmpty(missing())
                .flatMap(this::judged);
    }

    private record Verdict(List<BatchError> errors, int total, String model) {}

    private static Verdict missing() {
        BatchError error = BatchError.newBuilder()
                .setCode("input_file_missing")
                .setMessage("The input file was deleted, or is no longer kept.")
                .setParam("input_file_id")
                .build();
        return new Verdict(List.of(error), 0, "");
    }

    private Mono<Boolean> judged(Verdict verdict) {
        if (!verdict.errors().isEmpty()) {
            return put(BatchState.newBuilder()
                            .setStatus(Status.FAILED)
                            .setEndedMs(clock.wallMs())
                            .addAllErrors(verdict.errors()))
                    .thenReturn(false);
        }
        return Mono.fromFuture(() -> store.begin(source(), partition(), batch.getId()))
                .flatMap(first -> put(BatchState.newBuilder()
                        .setStatus(Status.IN_PROGRESS)
                        .setTotal(verdict.total())
                        .setModel(verdict.model())
                        .setInProgressMs(clock.wallMs())
                        .setFirstOffset(first)))
                .thenReturn(true);
    }

    private Mono<Void> processed() {
        BitSet done = new BitSet();
        return written(done)
                .then(Mono.defer(() -> state.getStatus() == Status.FINALIZING ? Mono.empty() : answered(done)))
                .then(Mono.defer(this::finalised));
    }

    /** Notes which lines the log has already. */
    private Mono<Void> written(BitSet done) {
        return store.lines(source(), partition(), state.getFirstOffset())
                .doOnNext(line -> count(done, line.line(), line.error()))
                .then();
    }

    private void count(BitSet done, int line, boolean error) {
        synchronized (done) {
            if (done.get(line)) {
                return;
            }
            done.set(line);
        }
        (error ? failed : completed).incrementAndGet();
    }

    private static boolean has(BitSet done, int line) {
        synchronized (done) {
            return done.get(line);
        }
    }

    private Mono<Void> answered(BitSet done) {
        return registry.file(batch.getInputFile(), batch.getTenant())
                .flatMapMany(this::input)
                .takeWhile(line -> !over())
                .filter(line -> !has(done, line.number()))
                .concatMap(line -> held.take(bytes(line)).thenReturn(line), 1)
                .flatMap(line -> answered(line, done).doFinally(end -> held.give(bytes(line))), limits.concurrent(), 1)
                .then(Mono.defer(() -> expired() ? unanswered(done) : Mono.empty()));
    }

    private static int bytes(LineSplitter.Line line) {
        return String.valueOf(line.text()).length();
    }

    private Mono<Void> answered(LineSplitter.Line line, BitSet done) {
        String text = String.valueOf(line.text());
        return Mono.usingWhen(
                window.enter(),
                entered -> over()
                        ? Mono.empty()
                        : answered(line.number(), 0, text, 0)
                                .flatMap(answer ->
                                        keep(done, line.number(), answer.status() != 200, json(text, line, answer))),
                entered -> Mono.fromRunnable(window::leave));
    }

    /** Asks until there is an answer, or the batch is over: then it is empty. */
    private Mono<BatchLines.Answer> answered(int number, int attempt, String text, int failures) {
        return lines.run(batch, number, attempt, text).flatMap(answer -> {
            if (!TRANSIENT.contains(answer.status())) {
                return Mono.just(answer);
            }
            int next = ANOTHER.contains(answer.code()) ? attempt + 1 : attempt;
            if (next == ATTEMPTS_MAX) {
                return Mono.just(answer);
            }
            if (over()) {
                return Mono.empty();
            }
            long pause = Math.min(PAUSE_MAX.toMillis(), PAUSE.toMillis() << Math.min(failures, 10));
            return Mono.delay(Duration.ofMillis(pause))
                    .then(Mono.defer(() -> answered(number, next, text, failures + 1)));
        });
    }

    /** The lines that nobody got to in time. */
    private Mono<Void> unanswered(BitSet done) {
        return registry.file(batch.getInputFile(), batch.getTenant())
                .flatMapMany(this::input)
                .filter(line -> !has(done, line.number()))
                .concatMap(line -> keep(done, line.number(), true, json(String.valueOf(line.text()), line, null)), 1)
                .then();
    }

    private Mono<Void> keep(BitSet done, int number, boolean error, String json) {
        BatchLine line = BatchLine.newBuilder()
                .setLine(number)
                .setError(error)
                .setJson(ByteString.copyFromUtf8(json))
                .build();
        return Mono.fromFuture(() -> store.append(source(), partition(), line))
                .doOnNext(offset -> count(done, number, error))
                .then();
    }

    /** @param answer null: there was no time */
    private String json(String text, LineSplitter.Line line, BatchLines.@Nullable Answer answer) {
        JsonText out = new JsonText()
                .object()
                .field(
                        "id",
                        "batch_req_" + batch.getId().substring("batch_".length()) + "%06d".formatted(line.number()))
                .field("custom_id", lines.head(text, batch.getEndpoint()).customId());
        if (answer == null) {
            out.nothing("response").name("error").object().field("code", "batch_expired");
            out.field("message", "This request could not be executed before the completion window expired.");
            return out.endObject().endObject().toString();
        }
        out.name("response").object().field("status_code", answer.status()).field("request_id", answer.requestId());
        out.name("body").raw(answer.body()).endObject();
        return out.nothing("error").endObject().toString();
    }

    private Mono<Void> finalised() {
        if (registry.batch(batch.getId()) instanceof Registry.Batch now && now.ended()) {
            return Mono.empty();
        }
        BatchState.Builder finalizing = state.toBuilder()
                .setStatus(Status.FINALIZING)
                .setFinalizingMs(clock.wallMs())
                .setCompleted(completed.get())
                .setFailed(failed.get());
        return put(finalizing).then(Mono.defer(this::ended));
    }

    private Mono<Void> ended() {
        return store.lines(source(), partition(), state.getFirstOffset())
                .collect(Tally::new, Tally::add)
                .flatMap(tally -> {
                    boolean cancelled =
                            registry.batch(batch.getId()) instanceof Registry.Batch now && now.cancelMs() > 0;
                    boolean all = tally.answers + tally.errors >= state.getTotal();
                    Status status =
                            all && !expiredOf(tally) ? Status.COMPLETED : cancelled ? Status.CANCELLED : Status.EXPIRED;
                    BatchState.Builder end = state.toBuilder()
                            .setStatus(status)
                            .setCompleted(tally.answers)
                            .setFailed(tally.errors)
                            .setHasOutput(tally.answers > 0)
                            .setHasErrors(tally.errors > 0)
                            .setEndedMs(clock.wallMs());
                    return files(tally).then(Mono.defer(() -> put(end)));
                });
    }

    private boolean expiredOf(Tally tally) {
        return tally.errors > 0 && state.getFinalizingMs() >= batch.getExpiresMs();
    }

    private Mono<Void> files(Tally tally) {
        return Mono.defer(() -> tally.answers == 0
                        ? Mono.empty()
                        : put(batch.getOutputFile(), "output", FileInfo.Content.ANSWERS, tally.answerBytes, tally))
                .then(Mono.defer(() -> tally.errors == 0
                        ? Mono.empty()
                        : put(batch.getErrorFile(), "error", FileInfo.Content.ERRORS, tally.errorBytes, tally)));
    }

    private Mono<Void> put(String id, String name, FileInfo.Content content, long bytes, Tally tally) {
        return Mono.fromFuture(() -> registry.put(FileInfo.newBuilder()
                .setId(id)
                .setTenant(batch.getTenant())
                .setFilename(batch.getId() + "_" + name + ".jsonl")
                .setPurpose("batch_output")
                .setBytes(bytes)
                .setCreatedMs(clock.wallMs())
                .setExpiresMs(state.getInProgressMs() + FileLife.MS)
                .setContent(content)
                .setPartition(partition())
                .setSource(source())
                .setFirstOffset(state.getFirstOffset())
                .setLastOffset(tally.last)
                .build()));
    }

    private static final class Tally {
        private int answers;
        private int errors;
        private long answerBytes;
        private long errorBytes;
        private long last;

        void add(FileStore.Counted line) {
            last = line.offset();
            if (line.error()) {
                errors++;
                errorBytes += line.bytes();
            } else {
                answers++;
                answerBytes += line.bytes();
            }
        }
    }

    private Flux<LineSplitter.Line> input(FileInfo file) {
        return LineSplitter.lines(store.read(file), limits.lineBytesMax());
    }

    private String source() {
        return batch.getOutputFile();
    }

    private int partition() {
        return RequestId.parse(batch.getOutputFile()).partition();
    }

    private Mono<Void> put(BatchState.Builder next) {
        BatchState built = next.build();
        state = built;
        return Mono.fromFuture(() -> registry.put(batch.getId(), built));
    }
}
