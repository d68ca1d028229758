package io.millrace.gateway.node;

import io.millrace.gateway.stream.Call;
import io.millrace.shared.log.Log;
import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.Detach;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.topic.Topic;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/** What one call's exchange and subscriber have to do with the log. Hub's thread, but for {@link #append}. */
final class Line implements Exchange.Port {

    private final Log log;
    private final JournalHub hub;
    private final Leaves leaves;
    private final String node;
    private final Call call;
    /** The call was made earlier, so it is not ours to cancel. */
    private boolean borrowed;
    /** The router counts us among its readers. */
    private boolean reads = true;

    private JournalHub.@Nullable Subscriber subscriber;

    Line(Log log, JournalHub hub, Leaves leaves, String node, Call call) {
        this.log = log;
        this.hub = hub;
        this.leaves = leaves;
        this.node = node;
        this.call = call;
    }

    /** From now on this one gets the records of the call. */
    void subscribe(JournalHub.Subscriber next) {
        JournalHub.Subscriber before = subscriber;
        subscriber = next;
        for (Call.Part part : call.parts()) {
            hub.subscribe(part.id().text(), next);
            if (before != null) {
                hub.unsubscribe(part.id().text(), before);
            }
        }
    }

    /** The call was made earlier; until {@link #attach} the router does not know that it is read here. */
    void borrow() {
        borrowed = true;
        reads = false;
    }

    boolean reads() {
        return reads;
    }

    /** Tells the router that a client reads it here. */
    void attach() {
        reads = true;
        for (Call.Part part : call.parts()) {
            Attach attach = Attach.newBuilder()
                    .setGateway(node)
                    .setTenant(part.submit().getTenant())
                    .build();
            leaves.send(part, record(part).setAttach(attach).build());
        }
    }

    CompletableFuture<Long> append(Call.Part part) {
        RequestRecord record = record(part).setSubmit(part.submit()).build();
        return log.append(
                Topic.REQUESTS,
                part.id().partition(),
                part.id().text(),
                record.toByteArray(),
                part.submit().getTrace());
    }

    /** Not while another client still reads it here. */
    @Override
    public void detach() {
        JournalHub.Subscriber mine = subscriber;
        if (mine == null || !reads) {
            return;
        }
        for (Call.Part part : call.parts()) {
            if (!hub.followed(part.id().text(), mine)) {
                Detach detach = Detach.newBuilder().setGateway(node).build();
                leaves.send(part, record(part).setDetach(detach).build());
            }
        }
    }

    @Override
    public void cancel(String cause) {
        if (!borrowed) {
            call.parts().forEach(part -> cancel(part, cause));
        }
    }

    void cancel(Call.Part part, String cause) {
        CancelRequest cancel = CancelRequest.newBuilder()
                .setTenant(part.submit().getTenant())
                .setCause(cause)
                .setTrace(part.submit().getTrace())
                .build();
        leaves.send(part, record(part).setCancel(cancel).build());
    }

    @Override
    public void forget() {
        JournalHub.Subscriber mine = subscriber;
        if (mine != null) {
            subscriber = null;
            for (Call.Part part : call.parts()) {
                hub.unsubscribe(part.id().text(), mine);
            }
        }
        hub.release(call.partition());
    }

    private static RequestRecord.Builder record(Call.Part part) {
        return RequestRecord.newBuilder().setId(part.id().text());
    }
}
