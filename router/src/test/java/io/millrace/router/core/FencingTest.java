package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Yield;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** When an attempt is taken from its worker, and what the next one is told. */
class FencingTest {

    @Test
    void aSilentWorkersRequestIsFencedAndResumedElsewhereFromItsAcceptedIds() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker first = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        ByteString aid = rig.claim("a", req, first);
        rig.tokens("a", req, aid, 0, 5, 6, 7, 8, 9);
        first.lists(req, aid, false);
        Rig.FakeWorker second = rig.worker("w1", 1);
        rig.advance(500);
        first.alive = false;
        rig.advance(2_000);

        JournalRecord fence = rig.journal(RecordCase.CLAIM).get(1);
        assertThat(fence.getClaim().getAttempt()).isEqualTo(2);
        assertThat(fence.getClaim().getFence()).isTrue();
        assertThat(fence.getClaim().getWorker()).isEqualTo("w1");
        assertThat(fence.getClaim().getCause()).isEqualTo("worker_lost");
        assertThat(fence.getClaim().getBlamed()).isZero();
        assertThat(fence.getClaim().getAid()).isNotEqualTo(aid);
        Assignment assignment = second.dispatches().getFirst();
        assertThat(assignment.getDispatch().getAid()).isEqualTo(fence.getClaim().getAid());
        assertThat(assignment.getDispatch().getAccepted(0).getIdsList()).containsExactly(5, 6, 7, 8, 9);
        assertThat(assignment.getDispatch().getPromptHash()).isEqualTo(9);
        assertThat(first.cancels().getFirst().getCancel().getAid()).isEqualTo(aid);
        assertThat(rig.events).anyMatch(event -> event instanceof RouterEvent.AttemptLost lost && lost.tokens() == 5);
    }

    @Test
    void aWorkerIsToldWhenAcceptedIdsComeFromOtherNumericsAlsoOnTheWayBack() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker first = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        assertThat(first.dispatches().getFirst().getDispatch().getInexact()).isFalse();
        ByteString aid = rig.claim("a", req, first);
        rig.tokens("a", req, aid, 0, 5, 6);
        first.lists(req, aid, false);
        Rig.FakeWorker second = rig.worker("w1", 1);
        second.numerics = "other";
        rig.advance(500);
        first.alive = false;
        rig.advance(2_000);
        Dispatch resumed = second.dispatches().getFirst().getDispatch();
        assertThat(resumed.getInexact()).isTrue();
        rig.tokens("a", req, resumed.getAid(), 2, 7);

        // The third worker has the numerics of the second: ids of the first are in the answer all the same.
        second.lists(req, resumed.getAid(), false);
        Rig.FakeWorker third = rig.worker("w2", 2);
        third.numerics = "other";
        rig.advance(500);
        second.alive = false;
        rig.advance(2_000);
        assertThat(third.dispatches().getFirst().getDispatch().getInexact()).isTrue();
    }

    @Test
    void aWorkerOfTheSameNumericsIsNotToldThatIdsAreInexact() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker first = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        ByteString aid = rig.claim("a", req, first);
        rig.tokens("a", req, aid, 0, 5, 6);
        first.lists(req, aid, false);
        Rig.FakeWorker second = rig.worker("w1", 1);
        rig.advance(500);
        first.alive = false;
        rig.advance(2_000);
        assertThat(second.dispatches().getFirst().getDispatch().getAcceptedCount())
                .isEqualTo(1);
        assertThat(second.dispatches().getFirst().getDispatch().getInexact()).isFalse();
    }

    @Test
    void nobodyIsSuspectedWhileTheLogStandsStill() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 2);
        long req = rig.submit("a", rig.submit());
        Rig.FakeWorker worker = rig.assigned();
        ByteString aid = rig.claim("a", req, worker);
        worker.lists(req, aid, true);
        rig.advance(500);
        rig.stalled = true;
        rig.advance(6_000);
        rig.flow();
        rig.advance(3_000);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(1);
        assertThat(rig.events).noneMatch(event -> event instanceof RouterEvent.NodeSuspected);
    }

    @Test
    void aBrokenLivenessConnectionFencesAtOnce() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 2);
        long req = rig.submit("a", rig.submit());
        Rig.FakeWorker worker = rig.assigned();
        rig.claim("a", req, worker);
        assertThat(rig.connections).hasSize(2);
        worker.alive = false;
        rig.run(rig.core.onLivenessLost(worker.id, worker.incarnation, rig.now));
        rig.deliver();
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(2);
    }

    @Test
    void anAssignmentThatNobodyClaimsOrListsIsFencedAfterAWhileAndAListedOneIsNot() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        long req = rig.submit("a", rig.submit());
        rig.workers.getFirst().lists(req, ByteString.EMPTY, true);
        rig.advance(4_000);
        assertThat(rig.journal(RecordCase.CLAIM)).isEmpty();
        rig.submit("b", rig.submit());
        rig.advance(1_500);
        assertThat(rig.journal(RecordCase.CLAIM)).isEmpty();
        rig.advance(1_500);
        JournalRecord fence = rig.journal(RecordCase.CLAIM).getFirst();
        assertThat(fence.getId()).isEqualTo("b");
        assertThat(fence.getClaim().getAttempt()).isEqualTo(1);
        assertThat(fence.getClaim().getCause()).isEqualTo("unclaimed");
    }

    @Test
    void anAttemptThatItsWorkerNoLongerListsAndOneOfAnOlderIncarnationAreFenced() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        ByteString aid = rig.claim("a", req, worker);
        worker.lists(req, aid, true);
        rig.advance(600);
        worker.attempts.clear();
        rig.advance(1_500);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(2);
        assertThat(rig.journal(RecordCase.CLAIM).get(1).getClaim().getCause()).isEqualTo("unlisted");
        worker.incarnation = 777;
        rig.advance(600);
        JournalRecord fence = rig.journal(RecordCase.CLAIM).get(2);
        assertThat(fence.getClaim().getCause()).isEqualTo("restarted");
        assertThat(fence.getClaim().getBlamed()).isEqualTo(1);
        assertThat(fence.getClaim().getIncarnation()).isEqualTo(777);
    }

    @Test
    void anAttemptThatRanAsItShouldIsFencedWhenItsWorkerNoLongerListsItAndAtOnceWhenItRestarts() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        worker.maxRunning = 64;
        worker.beat();
        long unlisted = rig.submit("a", rig.submit());
        worker.lists(unlisted, rig.claim("a", unlisted, worker), false);
        List<Long> steady = new ArrayList<>();
        for (int i = 0; i < 20; i++) {
            long req = rig.submit("b" + i, rig.submit());
            worker.lists(req, rig.claim("b" + i, req, worker), false);
            steady.add(req);
        }
        rig.advance(3_000);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(21);
        worker.attempts.removeIf(each -> each.getReq() == unlisted);
        rig.advance(2_000);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(22);
        assertThat(rig.journal(RecordCase.CLAIM).getLast().getClaim().getCause())
                .isEqualTo("unlisted");
        worker.attempts.clear();
        worker.incarnation = 777;
        worker.beat();
        rig.advance(50);
        List<JournalRecord> claims = rig.journal(RecordCase.CLAIM);
        assertThat(claims.subList(22, claims.size()))
                .filteredOn(each -> each.getClaim().getCause().equals("restarted"))
                .extracting(JournalRecord::getReq)
                .containsAll(steady);
    }

    @Test
    void aYieldAndAGapAreFencedAtOnceAndBlameNobody() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        ByteString aid = rig.claim("a", req, worker);
        rig.tokens("a", req, aid, 3, 1);
        assertThat(rig.journal(RecordCase.CLAIM).get(1).getClaim().getCause()).isEqualTo("gap");
        ByteString second = rig.journal(RecordCase.CLAIM).get(1).getClaim().getAid();
        rig.journal(
                "a",
                req,
                JournalRecord.newBuilder()
                        .setYield(Yield.newBuilder().setAid(second).setCause("drain")));
        JournalRecord fence = rig.journal(RecordCase.CLAIM).get(2);
        assertThat(fence.getClaim().getCause()).isEqualTo("yield");
        assertThat(fence.getClaim().getBlamed()).isZero();
    }

    @Test
    void theLoserOfAClaimIsTold() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 2);
        long req = rig.submit("a", rig.submit());
        ByteString winner = rig.claim("a", req, rig.workers.get(0));
        ByteString loser = rig.claim("a", req, rig.workers.get(1));
        assertThat(rig.workers.get(1).cancels())
                .anyMatch(c -> c.getCancel().getAid().equals(loser));
        assertThat(rig.workers.get(0).cancels())
                .noneMatch(c -> c.getCancel().getAid().equals(winner));
    }

    @Test
    void aClaimThatComesBeforeItsAdmitIsInVainAndFencedAsSoonAsTheAdmitIsThere() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        rig.failing = Topic.RESPONSES;
        long req = rig.submit("a", rig.submit());
        ByteString early = rig.claim("a", req, worker);
        assertThat(worker.cancels()).hasSize(1);
        assertThat(worker.cancels().getFirst().getCancel().getAid()).isEqualTo(early);
        rig.failing = null;
        rig.advance(300);
        assertThat(rig.journal(RecordCase.ADMIT)).hasSize(1);
        Claim fence = rig.journal(RecordCase.CLAIM).getLast().getClaim();
        assertThat(fence.getFence()).isTrue();
        assertThat(fence.getAttempt()).isEqualTo(1);
        assertThat(fence.getCause()).isEqualTo("claim_ignored");
        assertThat(fence.getBlamed()).isZero();
        assertThat(worker.dispatches().getLast().getDispatch().getAid()).isEqualTo(fence.getAid());
        rig.tokens("a", req, early, 0, 1, 2);
        rig.tokens("a", req, fence.getAid(), 0, 5);
        rig.end("a", req, fence.getAid(), 1);
        rig.advance(1_500);
        assertThat(Result.parseFrom(rig.part(Topic.RESULTS, 0).getFirst().value())
                        .getChoices(0)
                        .getIdsList())
                .containsExactly(5);
    }
}
