package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.DeleteRequest;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.topic.Topic;
import org.junit.jupiter.api.Test;

/** Requests that are asked for by their id or key later, and deleted. */
class LookupTest {

    @Test
    void aLaterRequestOfTheSameKeyIsADupEvenAfterARebuild() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        ByteString hash = ByteString.copyFromUtf8("hash");
        long req = rig.submit("k", rig.submit().setIdempotencyKey("k").setBodyHash(hash));
        long second = rig.submit("k", rig.submit().setIdempotencyKey("k").setBodyHash(hash));
        Dup dup = rig.journal(RecordCase.DUP).getFirst().getDup();
        assertThat(dup.getDuplicate()).isEqualTo(second);
        assertThat(dup.getBodyHash()).isEqualTo(hash);
        ByteString aid = rig.claim("k", req, worker);
        rig.end("k", req, aid, 0);
        rig.advance(2_000);
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(600);
        long third = rig.submit("k", rig.submit().setIdempotencyKey("k"));
        assertThat(rig.journal(RecordCase.DUP).get(1).getDup().getDuplicate()).isEqualTo(third);
        assertThat(rig.journal(RecordCase.DUP).get(1).getReq()).isEqualTo(req);
        assertThat(rig.journal(RecordCase.ADMIT)).hasSize(1);
    }

    @Test
    void whoeverAsksIsToldWhereARequestIsWhileItRunsAndAfterItEnded() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        rig.submit("before", rig.submit());
        long req = rig.submit("a", rig.submit().setTenant("t").setStore(true));
        rig.request("a", locate("t"));
        JournalRecord running = rig.journal(RecordCase.DUP).getLast();
        assertThat(running.getReq()).isEqualTo(req);
        assertThat(running.getDup().getUnknown()).isFalse();
        assertThat(running.getDup().getResultPosition()).isZero();
        assertThat(JournalRecord.parseFrom(rig.part(Topic.RESPONSES, 0)
                                .get((int) running.getDup().getAdmitOffset())
                                .value())
                        .hasAdmit())
                .isTrue();
        ByteString aid = rig.claim("a", req, worker);
        rig.end("a", req, aid, 0);
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(600);
        rig.request("a", locate("t"));
        rig.advance(200);
        assertThat(lastDup(rig).getAdmitOffset()).isEqualTo(running.getDup().getAdmitOffset());
        assertThat(Result.parseFrom(rig.part(Topic.RESULTS, 0)
                                .get((int) lastDup(rig).getResultPosition() - 1)
                                .value())
                        .getId())
                .isEqualTo("a");
    }

    @Test
    void anUnknownRequestAndAnotherTenantsLookAlike() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        rig.submit("a", rig.submit().setTenant("t"));
        rig.request("a", locate("other"));
        assertThat(lastDup(rig).getUnknown()).isTrue();
        rig.request("never seen", locate("t"));
        assertThat(rig.journal(RecordCase.DUP)).hasSize(2);
        assertThat(lastDup(rig).getUnknown()).isTrue();
    }

    @Test
    void aDeletedResultIsATombstoneAndUnknownFromThenOn() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit().setTenant("t").setStore(true));
        ByteString aid = rig.claim("a", req, worker);
        rig.end("a", req, aid, 0);
        rig.request("a", delete("other"));
        rig.advance(200);
        assertThat(rig.part(Topic.RESULTS, 0)).hasSize(1);
        rig.request("a", delete("t"));
        rig.advance(200);
        assertThat(rig.part(Topic.RESULTS, 0).getLast().value()).isNull();
        rig.request("a", locate("t"));
        assertThat(lastDup(rig).getUnknown()).isTrue();
        rig.advance(12_000);
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(600);
        rig.request("a", locate("t"));
        rig.advance(200);
        assertThat(rig.journal(RecordCase.DUP)).hasSize(2);
        assertThat(lastDup(rig).getUnknown()).isTrue();
        assertThat(rig.part(Topic.RESULTS, 0).getLast().value()).isNull();
    }

    @Test
    void aDeletedRequestThatRunsIsCancelledAndLeavesNoResult() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        rig.submit("a", rig.submit().setTenant("t").setStore(true));
        rig.request("a", delete("t"));
        rig.advance(200);
        assertThat(rig.journal(RecordCase.CANCEL).getFirst().getCancel().getCause())
                .isEqualTo("deleted");
        assertThat(rig.part(Topic.RESULTS, 0)).isEmpty();
        rig.request("a", locate("t"));
        assertThat(lastDup(rig).getUnknown()).isTrue();
    }

    private static RequestRecord.Builder locate(String tenant) {
        return RequestRecord.newBuilder()
                .setAttach(Attach.newBuilder().setLocate(true).setTenant(tenant));
    }

    private static RequestRecord.Builder delete(String tenant) {
        return RequestRecord.newBuilder().setDelete(DeleteRequest.newBuilder().setTenant(tenant));
    }

    private static Dup lastDup(Rig rig) throws Exception {
        return rig.journal(RecordCase.DUP).getLast().getDup();
    }
}
