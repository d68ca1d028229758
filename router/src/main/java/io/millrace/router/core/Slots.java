package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.router.core.membership.Worker;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Accepted;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.SlotCancel;
import io.millrace.shared.topic.Topic;

/** Writes to the workers' slots: assignments, and cancels of executions that lost. */
final class Slots {

    /** A request over this size is read from {@code requests} by the worker. */
    static final int SUBMIT_BYTES_MAX = 256 * 1_024;

    private final Context context;

    Slots(Context context) {
        this.context = context;
    }

    /** Sends the binding's execution to its worker while the request's ADMIT is still on its way: nothing is accepted yet. */
    void first(Request request, Admit admit, Binding binding) {
        send(request, binding, Dispatch.newBuilder().setWeightsHash(admit.getWeightsHash()));
    }

    /** Sends the binding's execution to its worker. */
    void dispatch(Request request, JournalFold journal, Binding binding) {
        Dispatch.Builder dispatch = Dispatch.newBuilder()
                .setWeightsHash(journal.admit().getWeightsHash())
                .setPromptHash(journal.promptHash())
                .setNumericsId(journal.numericsId())
                .setInexact(journal.inexact())
                .setAdmitOffset(journal.beginOffset());
        for (int choice = 0; choice < journal.choices(); choice++) {
            Accepted.Builder accepted = Accepted.newBuilder().setEnded(journal.ended(choice));
            for (int id : journal.ids(choice)) {
                accepted.addIds(id);
            }
            dispatch.addAccepted(accepted);
        }
        send(request, binding, dispatch.addAllOutputsEnded(journal.outputsEnded()));
    }

    private void send(Request request, Binding binding, Dispatch.Builder dispatch) {
        Worker worker = context.workers.find(binding.worker);
        dispatch.setAttempt(binding.attempt)
                .setAid(binding.aid)
                .setSolo(binding.solo)
                .setPreviousAid(request.previousAid)
                .setLastOfWeights(worker != null && worker.draining())
                .setDispatchedMs(context.nowMs);
        if (request.submit.hasTrace()) {
            dispatch.setTrace(request.submit.getTrace());
        }
        if (request.submit.getSerializedSize() <= SUBMIT_BYTES_MAX) {
            dispatch.setSubmit(request.submit);
        }
        binding.sent = true;
        binding.sendFailed = false;
        context.hold(binding);
        append(
                request,
                binding.slot,
                binding.incarnation,
                Assignment.newBuilder().setDispatch(dispatch),
                new Outbox.Outcome() {
                    @Override
                    public void appended(long offset) {
                        binding.slotOffset = offset;
                        binding.sinceMs = context.workers.progress().elapsedMs();
                    }

                    @Override
                    public void failed() {
                        binding.sendFailed = true;
                        request.retryAtMs =
                                context.nowMs + context.config.timing().retryMs();
                        context.touch(request);
                    }
                });
    }

    /** Tells a worker to stop that execution, or with an empty aid every one of the request. */
    void cancel(Request request, int slot, long incarnation, ByteString aid, String cause) {
        SlotCancel cancel = SlotCancel.newBuilder().setAid(aid).setCause(cause).build();
        append(request, slot, incarnation, Assignment.newBuilder().setCancel(cancel), Outbox.Outcome.NONE);
    }

    void cancel(Request request, Binding binding, String cause) {
        cancel(request, binding.slot, binding.incarnation, binding.aid, cause);
    }

    private void append(
            Request request, int slot, long incarnation, Assignment.Builder assignment, Outbox.Outcome outcome) {
        byte[] value = assignment
                .setId(request.id)
                .setReq(request.req)
                .setPartition(request.partition.number())
                .setIncarnation(incarnation)
                .build()
                .toByteArray();
        context.outbox.append(Topic.ASSIGNMENTS, slot, request.id, value, request.submit.getTrace(), outcome);
    }
}
