package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Attach;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.Checkpoint;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.DeleteRequest;
import io.millrace.shared.proto.Detach;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class RouterCoreTest {

    private static RequestRecord.Builder detach(String gateway) {
        return RequestRecord.newBuilder().setDetach(Detach.newBuilder().setGateway(gateway));
    }

    @Test
    void aRequestIsAdmittedDispatchedWithoutARecordAndItsResultWritten() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());

        JournalRecord admit = rig.journal(RecordCase.ADMIT).getFirst();
        assertThat(admit.getReq()).isEqualTo(req);
        assertThat(admit.getAdmit().getWeightsHash()).isEqualTo(Rig.WEIGHTS);
        Assignment assignment = worker.dispatches().getFirst();
        assertThat(assignment.getDispatch().getAid()).isEqualTo(ByteString.EMPTY);
        assertThat(assignment.getDispatch().getAttempt()).isEqualTo(1);
        assertThat(rig.journal(RecordCase.CLAIM)).isEmpty();

        ByteString aid = rig.claim("a", req, worker);
        rig.tokens("a", req, aid, 0, 5, 6);
        rig.end("a", req, aid, 2);
        rig.advance(1_500);
        Result result = Result.parseFrom(rig.part(Topic.RESULTS, 0).getFirst().value());
        assertThat(result.getStatus()).isEqualTo("completed");
        assertThat(result.getChoices(0).getIdsList()).containsExactly(5, 6);
        assertThat(result.getChoices(0).getText()).isEqualTo("x");
        assertThat(result.getUsage().getCompletionTokens()).isEqualTo(2);
        Checkpoint checkpoint =
                Checkpoint.parseFrom(rig.part(Topic.CHECKPOINTS, 0).getLast().value());
        assertThat(checkpoint.getRequestsOffset()).isEqualTo(req + 1);
        assertThat(rig.core.openRequests()).isZero();
    }

    @Test
    void anUnknownModelIs404AtOnceAndAModelWithoutWorkersIs503AfterAWhile() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config().with(Rig.config().timing().withNoWorkerAfterMs(1_000)), 1);
        rig.submit("a", rig.submit().setModel("other"));
        assertThat(rig.journal(RecordCase.REJECT).getFirst().getReject().getStatus())
                .isEqualTo(404);
        rig.workers.getFirst().alive = false;
        rig.advance(3_000);
        rig.submit("b", rig.submit());
        assertThat(rig.journal(RecordCase.REJECT)).hasSize(1);
        rig.advance(1_500);
        assertThat(rig.journal(RecordCase.REJECT).get(1).getReject().getStatus())
                .isEqualTo(503);
        assertThat(rig.journal(RecordCase.ADMIT)).isEmpty();
    }

    @Test
    void anAliasNamesTheSameModelAndEachModelHasItsOwnQueue() throws Exception {
        Rig rig = new Rig(Rig.config());
        Rig.FakeWorker full = rig.worker("w0", 0);
        full.maxRunning = 1;
        Rig.FakeWorker other = rig.worker("w1", 1);
        other.model = "other";
        rig.advance(600);
        for (int i = 0; i < 6; i++) {
            rig.submit("a" + i, rig.submit().setModel("m-alias"));
        }
        assertThat(full.dispatches()).hasSize(3);
        rig.submit("b", rig.submit().setModel("other"));
        assertThat(other.dispatches()).hasSize(1);
        assertThat(rig.core.load(rig.now))
                .contains(new RouterCore.ModelLoad("m", 3, 3, 0), new RouterCore.ModelLoad("other", 0, 0, 0));
        MemberBeat beat =
                MemberBeat.parseFrom(rig.part(Topic.MEMBERS, 0).getLast().value());
        assertThat(beat.getCreditsList()).extracting(c -> c.getModel()).containsExactly("m", "other");
    }

    @Test
    void aDeadlineEndsARequestBeforeAdmissionInTheQueueAndWhileItRuns() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        worker.maxRunning = 1;
        rig.advance(300);
        rig.submit("late", rig.submit().setDeadlineMs(rig.now - 1));
        assertThat(rig.journal(RecordCase.REJECT).getFirst().getReject().getStatus())
                .isEqualTo(504);
        long req = -1;
        for (int i = 0; i < 4; i++) {
            long each = rig.submit("a" + i, rig.submit().setDeadlineMs(rig.now + 1_000));
            worker.lists(each, ByteString.EMPTY, true);
            req = each;
        }
        rig.advance(1_100);
        assertThat(rig.journal(RecordCase.FAIL)).hasSize(1);
        assertThat(rig.journal(RecordCase.FAIL).getFirst().getReq()).isEqualTo(req);
        assertThat(rig.journal(RecordCase.FAIL).getFirst().getFail().getStatus())
                .isEqualTo(504);
        rig.advance(2_000);
        assertThat(rig.journal(RecordCase.FAIL)).hasSize(4);
        assertThat(worker.cancels()).hasSize(3);
    }

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
        Rig.FakeWorker worker = rig.workers.get(0).dispatches().isEmpty() ? rig.workers.get(1) : rig.workers.get(0);
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
        Rig.FakeWorker worker = rig.workers.get(0).dispatches().isEmpty() ? rig.workers.get(1) : rig.workers.get(0);
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
                        .setYield(io.millrace.shared.proto.Yield.newBuilder()
                                .setAid(second)
                                .setCause("drain")));
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
        Rig.FakeWorker first = rig.workers.get(0).dispatches().isEmpty() ? rig.workers.get(1) : rig.workers.get(0);
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

    @Test
    void everyStoredRequestGetsItsResultAfterARebuildHoweverManyEnded() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        int count = 2 * ProtocolRules.ENDED_MAX;
        rig.failing = Topic.RESULTS;
        endMany(rig, count);
        assertThat(rig.part(Topic.RESULTS, 0)).isEmpty();
        rig.failing = null;
        rig.journalsFirst = true;
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(1_000);
        assertThat(rig.part(Topic.RESULTS, 0)).hasSize(count);
        assertThat(Result.parseFrom(rig.part(Topic.RESULTS, 0).getFirst().value())
                        .getChoices(0)
                        .getIdsList())
                .containsExactly(5, 6);
        assertThat(rig.core.openRequests()).isZero();
    }

    @Test
    void aJournalIsReducedToItsCountsOnceItsRequestIsDoneWith() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long open = rig.submit("open", rig.submit());
        worker.lists(open, ByteString.EMPTY, true);
        endMany(rig, 2 * ProtocolRules.ENDED_MAX);
        var journals = MutantCores.folds(rig.core, 0).getFirst().journals();
        assertThat(journals).hasSize(1 + ProtocolRules.ENDED_MAX);
        for (JournalFold journal : journals) {
            if (journal.req() != open) {
                assertThat(journal.accepted(0)).isEqualTo(2);
                assertThatThrownBy(() -> journal.ids(0)).isInstanceOf(IllegalStateException.class);
                assertThatThrownBy(() -> journal.text(0)).isInstanceOf(IllegalStateException.class);
            }
        }
        assertThat(rig.part(Topic.RESULTS, 0)).hasSize(2 * ProtocolRules.ENDED_MAX);
    }

    private static void endMany(Rig rig, int count) {
        Rig.FakeWorker worker = rig.workers.getFirst();
        for (int i = 0; i < count; i++) {
            long req = rig.submit("e" + i, rig.submit());
            ByteString aid = rig.claim("e" + i, req, worker);
            rig.tokens("e" + i, req, aid, 0, 5, 6);
            rig.end("e" + i, req, aid, 2);
        }
    }

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

    private static RequestRecord.Builder locate(String tenant) {
        return RequestRecord.newBuilder()
                .setAttach(Attach.newBuilder().setLocate(true).setTenant(tenant));
    }

    private static Dup lastDup(Rig rig) throws Exception {
        return rig.journal(RecordCase.DUP).getLast().getDup();
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

    private static RequestRecord.Builder delete(String tenant) {
        return RequestRecord.newBuilder().setDelete(DeleteRequest.newBuilder().setTenant(tenant));
    }

    @Test
    void aNewOwnerSendsARouterClaimWithoutTokensAgainUnderTheSameAid() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        rig.submit("a", rig.submit());
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(600);
        ByteString aid = rig.journal(RecordCase.CLAIM).getFirst().getClaim().getAid();
        assertThat(worker.dispatches())
                .extracting(d -> d.getDispatch().getAid())
                .containsExactly(ByteString.EMPTY, aid);
        rig.rebuild(RouterCoreConfig.defaults("r0", 3, 1));
        rig.advance(600);
        assertThat(worker.dispatches())
                .extracting(d -> d.getDispatch().getAid())
                .containsExactly(ByteString.EMPTY, aid, aid);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(1);
    }

    @Test
    void aNewOwnerLeavesARunningAttemptAlone() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        ByteString aid = rig.claim("a", req, worker);
        rig.tokens("a", req, aid, 0, 1);
        worker.lists(req, aid, false);
        rig.advance(300);
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(3_000);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(1);
        rig.end("a", req, aid, 1);
        rig.advance(200);
        assertThat(rig.part(Topic.RESULTS, 0)).hasSize(1);
    }

    @Test
    void aModelWhoseWeightsAreGoneFailsItsRequestsAfterAMinute() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        long req = rig.submit("a", rig.submit());
        rig.claim("a", req, worker);
        worker.incarnation = 5_000;
        worker.weights = 43;
        rig.advance(55_000);
        assertThat(rig.journal(RecordCase.FAIL)).isEmpty();
        rig.advance(10_000);
        assertThat(rig.journal(RecordCase.FAIL).getFirst().getFail().getCode()).isEqualTo("model_replaced");
    }

    @Test
    void weightsThatDrainFinishWhatWasAdmittedForThem() throws Exception {
        Rig rig = new Rig(Rig.config());
        Rig.FakeWorker old = rig.worker("w0", 0);
        old.maxRunning = 1;
        rig.advance(600);
        long running = rig.submit("a0", rig.submit());
        ByteString aid = rig.claim("a0", running, old);
        old.lists(running, aid, false);
        for (int i = 1; i < 5; i++) {
            rig.submit("a" + i, rig.submit());
        }
        assertThat(old.dispatches()).as("one runs, two wait there, two here").hasSize(3);
        Rig.FakeWorker fresh = rig.worker("w1", 1);
        fresh.weights = 43;
        rig.advance(600);
        rig.submit("b0", rig.submit());
        assertThat(fresh.dispatches())
                .as("of equally many, those that came last")
                .hasSize(1);

        old.draining = true;
        old.finishing = true;
        rig.advance(600);
        rig.submit("b1", rig.submit());
        assertThat(fresh.dispatches()).hasSize(2);
        rig.end("a0", running, aid, 0);
        old.attempts.clear();
        rig.advance(600);
        assertThat(old.dispatches()).hasSizeGreaterThan(3);
        assertThat(old.dispatches().getFirst().getDispatch().getLastOfWeights()).isFalse();
        assertThat(old.dispatches().getLast().getDispatch().getLastOfWeights()).isTrue();
        assertThat(fresh.dispatches()).hasSize(2);

        int before = old.dispatches().size();
        old.finishing = false;
        rig.advance(3_000);
        assertThat(old.dispatches()).hasSize(before);
    }

    @Test
    void aLargeRequestIsNotCarriedInItsAssignment() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        rig.submit("a", rig.submit().setPromptText("x".repeat(300_000)));
        Assignment assignment = rig.workers.getFirst().dispatches().getFirst();
        assertThat(assignment.getDispatch().hasSubmit()).isFalse();
        assertThat(assignment.getReq()).isZero();
    }

    @Test
    void twoRoutersShareThePartitionsAndOneThatLeavesGivesThemBack() {
        Rig rig = new Rig(RouterCoreConfig.defaults("r0", 1, 16));
        rig.advance(600);
        assertThat(rig.core.owned()).hasSize(16);
        rig.member(MemberBeat.newBuilder().setNode("r1").setIncarnation(2).setRole(MemberBeat.Role.ROUTER));
        rig.advance(300);
        assertThat(rig.core.owned()).hasSizeBetween(2, 14);
        rig.advance(2_000);
        assertThat(rig.core.owned()).hasSize(16);
        rig.run(rig.core.leave(rig.now));
        assertThat(rig.core.owned()).isEmpty();
    }

    @Test
    void anAppendThatFailsIsTriedAgain() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        rig.failing = Topic.RESPONSES;
        rig.submit("a", rig.submit());
        assertThat(rig.journal(RecordCase.ADMIT)).isEmpty();
        rig.failing = Topic.ASSIGNMENTS;
        rig.submit("b", rig.submit());
        rig.advance(300);
        assertThat(rig.journal(RecordCase.ADMIT)).hasSize(2);
        rig.failing = null;
        rig.advance(300);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(1);
        JournalRecord fence = rig.journal(RecordCase.CLAIM).getFirst();
        assertThat(fence.getId()).isEqualTo("b");
        assertThat(fence.getClaim().getCause()).isEqualTo("undelivered");
        assertThat(rig.workers.getFirst().dispatches())
                .extracting(Assignment::getId)
                .containsExactly("a", "b");
    }

    @Test
    void theFirstAssignmentDoesNotWaitForTheAdmitUnlessOthersWaitForTheModel() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        worker.maxRunning = 1;
        rig.advance(300);
        rig.failing = Topic.RESPONSES;
        for (int i = 0; i < 4; i++) {
            rig.submit("a" + i, rig.submit().setN(2));
        }
        // One runs and two wait at the worker; the fourth has no room there.
        assertThat(rig.journal(RecordCase.ADMIT)).isEmpty();
        assertThat(worker.dispatches()).hasSize(3);
        Dispatch first = worker.dispatches().getFirst().getDispatch();
        assertThat(first.getAid()).isEqualTo(ByteString.EMPTY);
        assertThat(first.getWeightsHash()).isEqualTo(Rig.WEIGHTS);
        assertThat(first.getSubmit().getN()).isEqualTo(2);
        rig.failing = null;
        rig.advance(300);
        assertThat(rig.journal(RecordCase.ADMIT)).hasSize(4);
        assertThat(worker.dispatches()).hasSize(3);
        worker.maxRunning = 8;
        rig.advance(300);
        assertThat(worker.dispatches()).hasSize(4);
        assertThat(rig.journal(RecordCase.CLAIM)).isEmpty();
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

    @Test
    void aClaimBeforeTheAdmitThatOnlyTheRouterBeforeSawIsFencedOnceItsWorkerHasListedItForLong() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        rig.failing = Topic.RESPONSES;
        long req = rig.submit("a", rig.submit());
        worker.lists(req, rig.claim("a", req, worker), true);
        rig.failing = null;
        rig.rebuild(RouterCoreConfig.defaults("r0", 2, 1));
        rig.advance(1_500);
        assertThat(rig.journal(RecordCase.ADMIT)).hasSize(1);
        assertThat(rig.journal(RecordCase.CLAIM)).hasSize(1);
        rig.advance(3_000);
        Claim fence = rig.journal(RecordCase.CLAIM).getLast().getClaim();
        assertThat(fence.getFence()).isTrue();
        assertThat(fence.getAttempt()).isEqualTo(1);
        assertThat(worker.cancels().getLast().getCancel().getAid()).isEqualTo(ByteString.EMPTY);
        assertThat(worker.dispatches().getLast().getDispatch().getAid()).isEqualTo(fence.getAid());
    }
}
