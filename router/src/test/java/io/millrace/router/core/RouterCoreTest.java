package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.Checkpoint;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.Result;
import io.millrace.shared.topic.Topic;
import org.junit.jupiter.api.Test;

/** What becomes of a request: admitted, queued, assigned, ended, written; and of the partitions that it is in. */
class RouterCoreTest {

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
    void aLargeRequestIsNotCarriedInItsAssignment() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        rig.submit("a", rig.submit().setPromptText("x".repeat(300_000)));
        Assignment assignment = rig.workers.getFirst().dispatches().getFirst();
        assertThat(assignment.getDispatch().hasSubmit()).isFalse();
        assertThat(assignment.getReq()).isZero();
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
}
