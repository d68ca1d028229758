package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.Result;
import io.millrace.shared.topic.Topic;
import org.junit.jupiter.api.Test;

/** What a router makes of the journals that another left, and what it keeps of them. */
class NewOwnerTest {

    private final Rig rig = Rig.withWorkers(Rig.config(), 1);
    private final Rig.FakeWorker worker = rig.workers.getFirst();

    @Test
    void everyStoredRequestGetsItsResultAfterARebuildHoweverManyEnded() throws Exception {
        int count = 2 * ProtocolRules.ENDED_MAX;
        rig.failing = Topic.RESULTS;
        endMany(count);
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
        long open = rig.submit("open", rig.submit());
        worker.lists(open, ByteString.EMPTY, true);
        endMany(2 * ProtocolRules.ENDED_MAX);
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

    private void endMany(int count) {
        for (int i = 0; i < count; i++) {
            long req = rig.submit("e" + i, rig.submit());
            ByteString aid = rig.claim("e" + i, req, worker);
            rig.tokens("e" + i, req, aid, 0, 5, 6);
            rig.end("e" + i, req, aid, 2);
        }
    }

    @Test
    void aNewOwnerSendsARouterClaimWithoutTokensAgainUnderTheSameAid() throws Exception {
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
    void aClaimBeforeTheAdmitThatOnlyTheRouterBeforeSawIsFencedOnceItsWorkerHasListedItForLong() throws Exception {
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
