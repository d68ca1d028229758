package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.topic.Topic;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Requests that end their workers, or seem to. */
class PoisonTest {

    @Test
    void aRequestThatEndsItsWorkersRunsAloneThenFailsAsADeadLetter() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        rig.claim("a", req, worker);
        for (int crash = 1; crash <= 3; crash++) {
            worker.incarnation += 1_000;
            rig.advance(600);
        }
        List<JournalRecord> claims = rig.journal(RecordCase.CLAIM);
        assertThat(claims).extracting(c -> c.getClaim().getBlamed()).containsExactly(0, 1, 2);
        assertThat(claims).extracting(c -> c.getClaim().getSolo()).containsExactly(false, true, true);
        assertThat(rig.journal(RecordCase.FAIL).getFirst().getFail().getCode()).isEqualTo("poison");
        assertThat(rig.part(Topic.DEAD_LETTERS, 0)).hasSize(1);
    }

    @Test
    void aFailThatALateClaimOvertookLeavesNoDeadLetter() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        rig.claim("a", req, worker);
        for (int crash = 1; crash <= 2; crash++) {
            worker.incarnation += 1_000;
            rig.advance(600);
        }
        worker.incarnation += 1_000;
        worker.beat();
        rig.stalled = true;
        rig.run(rig.core.onRecord(rig.part(Topic.WORKERS, 0).getLast(), rig.now));
        rig.advance(100);
        rig.stalled = false;
        rig.journal(
                "a",
                req,
                JournalRecord.newBuilder()
                        .setClaim(rig.journal(RecordCase.CLAIM).getLast().getClaim().toBuilder()
                                .setAttempt(4)
                                .setAid(ByteString.copyFrom(new byte[16]))
                                .setIncarnation(worker.incarnation)
                                .setBlamed(0)
                                .setBlamedSolo(0)
                                .setFence(false)));
        rig.flow();
        assertThat(rig.journal(RecordCase.FAIL)).as("overtaken").hasSize(1);
        assertThat(rig.part(Topic.DEAD_LETTERS, 0)).isEmpty();
        assertThat(rig.core.openRequests()).isEqualTo(1);
    }

    @Test
    void aRequestWhoseWorkersWereOnlyCutOffForAWhileIsNotPoison() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 2);
        long req = rig.submit("a", rig.submit());
        Rig.FakeWorker first = rig.assigned();
        rig.claim("a", req, first);
        for (int round = 1; round <= 6; round++) {
            Claim claim = rig.journal(RecordCase.CLAIM).getLast().getClaim();
            assertThat(claim.getAttempt()).as("round %d", round).isEqualTo(round);
            assertThat(claim.getBlamed()).isEqualTo(round == 1 ? 0 : 1);
            Rig.FakeWorker cutOff = rig.workers.stream()
                    .filter(each -> each.id.equals(claim.getWorker()))
                    .findFirst()
                    .orElseThrow();
            cutOff.lists(req, claim.getAid(), true);
            rig.advance(600);
            cutOff.alive = false;
            rig.advance(2_000);
            cutOff.attempts.clear();
            cutOff.alive = true;
        }
        assertThat(rig.journal(RecordCase.FAIL)).isEmpty();
        assertThat(rig.part(Topic.DEAD_LETTERS, 0)).isEmpty();
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(7);
    }
}
