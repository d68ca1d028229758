package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.id.PromptHash;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Accepted;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.SlotCancel;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.engine.EngineLoad;
import io.millrace.worker.engine.GenerationRequest;
import io.millrace.worker.engine.PoolingRequest;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Carries out assignments: makes an execution of each dispatch, prepares it beside the reader's thread, claims it, gives it to its
 * model's engine. {@link #onAssignment} is called by the reader's thread, the rest by any.
 */
final class AssignmentHandler implements AutoCloseable, Execution.Owner {

    private static final Logger LOG = LoggerFactory.getLogger(AssignmentHandler.class);
    private static final int PREPARERS = 2;
    private static final int PREPARING_MAX = 8_192;

    private final WorkerIdentity worker;
    private final List<HostedModel> models;
    private final ExecutionTable table;
    private final JournalWriter writer;
    private final BodyReader bodies;
    private final Clock clock;
    private final Telemetry telemetry;
    private final Map<HostedModel, WorkerMetrics> metrics;
    private final Map<HostedModel, PrefixHints> hints;
    private final SecureRandom random = new SecureRandom();
    private final ExecutorService preparers;
    /** Cancels in the engines, so that no lock of ours is held meanwhile. */
    private final ExecutorService stopper;

    private volatile boolean draining;
    private volatile boolean drained;
    private volatile boolean closed;

    AssignmentHandler(
            WorkerIdentity worker,
            List<HostedModel> models,
            ExecutionTable table,
            JournalWriter writer,
            BodyReader bodies,
            Clock clock,
            Telemetry telemetry,
            Map<HostedModel, WorkerMetrics> metrics,
            Map<HostedModel, PrefixHints> hints) {
        this.worker = worker;
        this.models = models;
        this.table = table;
        this.writer = writer;
        this.bodies = bodies;
        this.clock = clock;
        this.telemetry = telemetry;
        this.metrics = metrics;
        this.hints = hints;
        this.preparers = new ThreadPoolExecutor(
                PREPARERS,
                PREPARERS,
                1,
                TimeUnit.MINUTES,
                new ArrayBlockingQueue<>(PREPARING_MAX),
                Thread.ofPlatform().name(worker.id() + "-prepare-", 0).daemon().factory());
        this.stopper = Executors.newSingleThreadExecutor(
                Thread.ofPlatform().name(worker.id() + "-stop").daemon().factory());
    }

    void onAssignment(LogRecord record) {
        byte[] value = record.value();
        try {
            Assignment assignment = value == null ? Assignment.getDefaultInstance() : Assignment.parseFrom(value);
            if (assignment.getIncarnation() == worker.incarnation() && !closed) {
                switch (assignment.getRecordCase()) {
                    case DISPATCH -> dispatch(assignment, record);
                    case CANCEL -> cancel(assignment, assignment.getCancel());
                    case RECORD_NOT_SET -> LOG.debug("an assignment of a later version is left out");
                }
            }
        } catch (InvalidProtocolBufferException e) {
            LOG.warn(
                    "assignment at offset {} of slot {} is malformed: {}",
                    record.offset(),
                    worker.slot(),
                    e.toString());
        } finally {
            table.advance(record.offset() + 1);
        }
    }

    private void dispatch(Assignment assignment, LogRecord record) {
        Dispatch dispatch = assignment.getDispatch();
        if (!table.isNew(assignment.getPartition(), assignment.getReq(), dispatch.getAid())) {
            return;
        }
        HostedModel model = find(dispatch);
        if (model == null) {
            // No claim of ours could be accepted: the router sees that we do not list it, and fences.
            LOG.warn("request {} is for a model or weights that this worker does not serve", assignment.getId());
            return;
        }
        ByteString aid = dispatch.getAid().isEmpty() ? newAid() : dispatch.getAid();
        var spans = new ExecutionSpans(telemetry, assignment, aid, record, worker.id());
        var execution = new Execution(
                assignment.getId(),
                assignment.getReq(),
                assignment.getPartition(),
                dispatch,
                aid,
                model,
                metricsOf(model),
                spans,
                new Execution.Surroundings(worker, writer, clock, this));
        table.add(execution, record.offset() + 1);
        if (drained || (draining && !dispatch.getLastOfWeights())) {
            execution.giveBack("drain");
        } else if (dispatch.hasSubmit()) {
            prepareLater(execution, dispatch.getSubmit());
        } else {
            bodies.read(assignment.getPartition(), assignment.getReq()).whenComplete((submit, error) -> {
                if (error != null) {
                    LOG.warn("{}: {}", execution.describe(), error.getMessage());
                    lose(execution, "body");
                } else {
                    prepareLater(execution, submit);
                }
            });
        }
    }

    /** An attempt without a claim is forgotten, and fenced for not being listed; one that a router claimed is handed back. */
    private static void lose(Execution execution, String cause) {
        if (execution.dispatch().getAid().isEmpty()) {
            execution.drop(cause);
        } else {
            execution.giveBack(cause);
        }
    }

    private ByteString newAid() {
        byte[] bits = new byte[16];
        random.nextBytes(bits);
        return ByteString.copyFrom(bits);
    }

    private WorkerMetrics metricsOf(HostedModel model) {
        WorkerMetrics found = metrics.get(model);
        if (found == null) {
            throw new IllegalStateException("no metrics of " + model.name());
        }
        return found;
    }

    private @Nullable HostedModel find(Dispatch dispatch) {
        for (HostedModel model : models) {
            boolean named = !dispatch.hasSubmit()
                    || isCalled(model, dispatch.getSubmit().getModel());
            if (named && model.weightsHash() == dispatch.getWeightsHash()) {
                return model;
            }
        }
        return null;
    }

    private static boolean isCalled(HostedModel model, String name) {
        return model.name().equals(name) || model.aliases().contains(name);
    }

    private void prepareLater(Execution execution, Submit submit) {
        try {
            preparers.execute(() -> prepare(execution, submit));
        } catch (RejectedExecutionException e) {
            lose(execution, "overload");
        }
    }

    private void prepare(Execution execution, Submit submit) {
        try {
            if (clock.wallMs() >= submit.getDeadlineMs()) {
                execution.refuse(new Preparation.Refused(
                        504, "deadline_exceeded", "the deadline passed before the request could run", ""));
                return;
            }
            Dispatch dispatch = execution.dispatch();
            int choices = Math.max(1, submit.getN());
            List<int[]> accepted = new ArrayList<>(choices);
            boolean[] ended = new boolean[choices];
            for (int i = 0; i < choices; i++) {
                Accepted before =
                        i < dispatch.getAcceptedCount() ? dispatch.getAccepted(i) : Accepted.getDefaultInstance();
                accepted.add(
                        before.getIdsList().stream().mapToInt(Integer::intValue).toArray());
                ended[i] = before.getEnded();
            }
            Preparation prepared =
                    execution.model().prepare(execution.key(), submit, accepted, ended, dispatch.getSolo());
            switch (prepared) {
                case Preparation.Refused refusal -> execution.refuse(refusal);
                case Preparation.Ready ready -> run(execution, submit, ready.request());
                case Preparation.Answered answered -> answer(execution, submit, answered);
                case Preparation.Pooled pooled -> pool(execution, submit, pooled.request());
            }
        } catch (RuntimeException | StackOverflowError e) {
            // Deeply nested input overflows the stack of whatever walks it: that is this request's fault alone.
            LOG.error("{} could not be prepared", execution.describe(), e);
            execution.refuse(new Preparation.Refused(500, "internal_error", "the request could not be prepared", ""));
        }
    }

    private void run(Execution execution, Submit submit, GenerationRequest request) {
        int[] prompt = request.promptIds();
        boolean mayRun =
                execution.claim(submit, prompt.length, PromptHash.of(prompt), request.accepted(), request.ended());
        if (!mayRun) {
            return;
        }
        if (submit.getSampling().getEcho() && submit.hasPromptIds()) {
            execution.echo(prompt);
        }
        hand(execution, engine -> engine.submit(request, execution));
    }

    private void pool(Execution execution, Submit submit, PoolingRequest request) {
        int[] prompt = request.inputs().stream()
                .flatMapToInt(input -> Arrays.stream(input.ids()))
                .toArray();
        if (execution.claim(submit, prompt.length, PromptHash.of(prompt), List.of(new int[0]), new boolean[1])) {
            PoolingRequest left =
                    request.without(Set.copyOf(execution.dispatch().getOutputsEndedList()));
            hand(execution, engine -> engine.pool(left, execution));
        }
    }

    private static void answer(Execution execution, Submit submit, Preparation.Answered answered) {
        if (execution.claim(submit, 0, PromptHash.of(answered.ids()), List.of(new int[0]), new boolean[1])) {
            boolean written = execution.dispatch().getOutputsEndedList().contains(0);
            execution.answer(answered.kind(), written ? List.of() : answered.parts());
        }
    }

    private static void hand(Execution execution, Consumer<Engine> submission) {
        try {
            submission.accept(execution.model().engine());
        } catch (RuntimeException e) {
            LOG.error("{}: the engine does not take it", execution.describe(), e);
            execution.giveBack("fault");
            return;
        }
        if (execution.isOver()) {
            // Cancelled between claim and submit.
            execution.model().engine().cancel(execution.key());
        }
    }

    private void cancel(Assignment assignment, SlotCancel cancel) {
        for (Execution each : table.all()) {
            boolean meant = cancel.getAid().isEmpty()
                    ? each.is(assignment.getId(), assignment.getReq(), assignment.getPartition())
                    : each.key().equals(Execution.hex(cancel.getAid()));
            if (meant) {
                each.drop(cancel.getCause());
            }
        }
    }

    /** From now on what is new is handed back, unless only these weights can run it, and what has not begun too. */
    void drain() {
        draining = true;
        for (Execution each : table.all()) {
            if (each.isIdle()) {
                each.giveBack("drain");
            }
        }
    }

    /** From now on everything new is handed back, and what runs too. */
    void handOver() {
        drained = true;
        table.all().forEach(each -> each.giveBack("drain"));
    }

    @Override
    public void onStopped(Execution execution) {
        try {
            stopper.execute(() -> execution.model().engine().cancel(execution.key()));
        } catch (RejectedExecutionException e) {
            LOG.debug("{}: the worker closes", execution.describe());
        }
    }

    @Override
    public void onOver(Execution execution) {
        table.remove(execution);
    }

    @Override
    public void onPrefilled(Execution execution, List<Long> prefixHashes, int promptTokens) {
        PrefixHints known = hints.get(execution.model());
        if (known != null) {
            EngineLoad load = execution.model().engine().load();
            known.computed(prefixHashes, promptTokens, (long) load.kvBlocksTotal() * load.blockTokens());
        }
    }

    @Override
    public void close() {
        closed = true;
        bodies.close();
        preparers.shutdownNow();
        for (Execution each : table.all()) {
            each.drop("closed");
        }
        stopper.shutdown();
        try {
            if (!stopper.awaitTermination(5, TimeUnit.SECONDS)) {
                LOG.warn("worker {}: an engine does not take cancellations", worker.id());
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
