package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.Detach;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.topic.Topic;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Requests that are cancelled: by their tenant, or because nobody listens any more. */
class CancelTest {

    @Test
    void aCancelThatALateClaimOvertookIsRepeatedWithTheNextNumber() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        rig.stalled = true;
        rig.run(rig.core.onTick(rig.now));
        rig.append(
                Topic.REQUESTS,
                0,
                "a",
                RequestRecord.newBuilder()
                        .setId("a")
                        .setCancel(CancelRequest.newBuilder().setTenant("t").setCause("user"))
                        .build());
        rig.run(rig.core.onRecord(rig.part(Topic.REQUESTS, 0).getLast(), rig.now));
        rig.stalled = false;
        rig.claim("a", req, worker);
        rig.flow();
        rig.advance(200);
        List<JournalRecord> cancels = rig.journal(RecordCase.CANCEL);
        assertThat(cancels).extracting(c -> c.getCancel().getAttempt()).containsExactly(1, 2);
        assertThat(worker.cancels()).isNotEmpty();
        assertThat(rig.core.openRequests()).isZero();
    }

    @Test
    void aCancelOfAnotherTenantIsNone() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        rig.submit("a", rig.submit());
        rig.request(
                "a",
                RequestRecord.newBuilder().setCancel(CancelRequest.newBuilder().setTenant("x")));
        assertThat(rig.journal(RecordCase.CANCEL)).isEmpty();
    }

    @Test
    void aDetachedRequestIsCancelledAfterTheGraceUnlessSomebodyComesBackOrItIsInTheBackground() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config().with(Rig.config().timing().withDetachGraceMs(2_000)), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        worker.lists(rig.submit("a", rig.submit().setGateway("g")), ByteString.EMPTY, true);
        worker.lists(rig.submit("b", rig.submit().setGateway("g")), ByteString.EMPTY, true);
        worker.lists(rig.submit("c", rig.submit().setGateway("g").setBackground(true)), ByteString.EMPTY, true);
        for (String id : List.of("a", "b", "c")) {
            rig.request(id, detach("g"));
        }
        rig.request(
                "b", RequestRecord.newBuilder().setAttach(Attach.newBuilder().setGateway("h")));
        rig.advance(1_000);
        assertThat(rig.journal(RecordCase.CANCEL)).isEmpty();
        rig.advance(3_000);
        assertThat(rig.journal(RecordCase.CANCEL))
                .extracting(JournalRecord::getId)
                .containsExactly("a");
    }

    @Test
    void aGatewayThatLeavesOrFallsSilentDetachesItsRequests() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config().with(Rig.config().timing().withDetachGraceMs(0)), 1);
        MemberBeat.Builder beat = MemberBeat.newBuilder().setNode("g").setIncarnation(3);
        rig.member(beat);
        rig.submit("a", rig.submit().setGateway("g"));
        rig.member(beat.clone().setLeaving(true));
        rig.advance(100);
        assertThat(rig.journal(RecordCase.CANCEL)).hasSize(1);
        rig.member(MemberBeat.newBuilder().setNode("h").setIncarnation(4));
        rig.submit("b", rig.submit().setGateway("h"));
        rig.advance(2_000);
        assertThat(rig.journal(RecordCase.CANCEL)).hasSize(2);
    }

    @Test
    void aGatewayThatWasOnlySilentForAWhileKeepsItsRequests() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config().with(Rig.config().timing().withDetachGraceMs(5_000)), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        MemberBeat.Builder beat = MemberBeat.newBuilder().setNode("g").setIncarnation(3);
        rig.member(beat);
        worker.lists(rig.submit("a", rig.submit().setGateway("g")), ByteString.EMPTY, true);
        worker.lists(rig.submit("b", rig.submit().setGateway("g")), ByteString.EMPTY, true);
        rig.advance(2_000);
        rig.request("b", detach("g"));
        for (int i = 0; i < 40; i++) {
            rig.member(beat);
            rig.advance(200);
        }
        assertThat(rig.journal(RecordCase.CANCEL))
                .as("b, whose client has left, not a")
                .extracting(JournalRecord::getId)
                .containsExactly("b");
        rig.advance(7_000);
        assertThat(rig.journal(RecordCase.CANCEL))
                .extracting(JournalRecord::getId)
                .containsExactly("b", "a");
    }

    private static RequestRecord.Builder detach(String gateway) {
        return RequestRecord.newBuilder().setDetach(Detach.newBuilder().setGateway(gateway));
    }
}
