package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.MemberBeat;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

/** Who may wait at a router, for how long, and who goes first. */
class RouterQueueTest {

    private static RouterCoreConfig config(int queuedPerTenantMax) {
        return Rig.config().with(new RouterCoreConfig.Queueing(queuedPerTenantMax, 20_000, 2, Map.of()));
    }

    private static ModelCredit credit(Rig rig) throws Exception {
        return MemberBeat.parseFrom(rig.part(Topic.MEMBERS, 0).getLast().value())
                .getCredits(0);
    }

    /** A worker with one place, which a request of another tenant has; it waits for more. */
    private static Rig busy(RouterCoreConfig config) {
        return busy(new Rig(config));
    }

    private static Rig busy(Rig router) {
        Rig rig = Rig.withWorkers(router, 1);
        rig.workers.getFirst().maxRunning = 1;
        rig.advance(300);
        for (int i = 0; i < 3; i++) {
            rig.submit("first" + i, rig.submit().setTenant("first"));
        }
        return rig;
    }

    @Test
    void oneTenantAloneDoesNotTakeAllPlacesAndItsRefusalsCostNobodyElse() throws Exception {
        Rig rig = busy(config(3));
        for (int i = 0; i < 6; i++) {
            rig.submit("flood" + i, rig.submit().setTenant("flood"));
        }
        List<JournalRecord> rejected = rig.journal(RecordCase.REJECT);
        assertThat(rejected).extracting(JournalRecord::getId).containsExactly("flood3", "flood4", "flood5");
        assertThat(rejected.getFirst().getReject().getStatus()).isEqualTo(429);
        assertThat(rejected.getFirst().getReject().getMessage()).contains("3 of them yours");
        rig.advance(300);
        ModelCredit credit = credit(rig);
        assertThat(credit.getFullTenantsList()).containsExactly("flood");
        assertThat(credit.getCredits()).isEqualTo(3);

        for (int i = 0; i < 4; i++) {
            rig.submit("other" + i, rig.submit().setTenant("other"));
        }
        assertThat(rig.journal(RecordCase.REJECT))
                .extracting(JournalRecord::getId)
                .contains("other3");
        assertThat(rig.journal(RecordCase.REJECT)).hasSize(4);
    }

    @Test
    void whoWaitsAsLongAsARejectSaysIsAdmittedWhileTheQueueDrains() throws Exception {
        Rig rig = busy(config(2));
        for (int i = 0; i < 2; i++) {
            rig.submit("wait" + i, rig.submit().setTenant("wait"));
        }
        rig.submit("late", rig.submit().setTenant("wait"));
        long waitMs = rig.journal(RecordCase.REJECT).getFirst().getReject().getRetryAfterMs();
        assertThat(waitMs).isBetween(1_000L, 60_000L);
        Rig.FakeWorker worker = rig.workers.getFirst();
        List<String> running = new ArrayList<>();
        // One request ends each second.
        for (long waited = 0; waited < waitMs; waited += 1_000) {
            var dispatch = worker.dispatches().get(running.size());
            running.add(dispatch.getId());
            ByteString aid = rig.claim(dispatch.getId(), dispatch.getReq(), worker);
            rig.end(dispatch.getId(), dispatch.getReq(), aid, 0);
            rig.advance(1_000);
            if (worker.dispatches().size() == running.size()) {
                rig.advance(waitMs - waited);
                break;
            }
        }
        rig.submit("again", rig.submit().setTenant("wait"));
        assertThat(rig.journal(RecordCase.ADMIT))
                .extracting(JournalRecord::getId)
                .contains("again");
    }

    @Test
    void linesOfBatchesTakeOnlyPlacesThatOthersLeave() throws Exception {
        Rig rig = Rig.withWorkers(Rig.config(), 1);
        Rig.FakeWorker worker = rig.workers.getFirst();
        worker.maxRunning = 4;
        rig.advance(300);
        for (int i = 0; i < 6; i++) {
            rig.submit("batch" + i, rig.submit().setTenant("b").setPriority(0));
        }
        // One place stays free, and none of them waits at the worker.
        assertThat(worker.dispatches()).hasSize(3);
        rig.advance(300);
        assertThat(credit(rig).getQueued()).isEqualTo(3);
        assertThat(credit(rig).getQueuedBeforeBatches()).isZero();
        for (int i = 0; i < 3; i++) {
            rig.submit("now" + i, rig.submit());
        }
        assertThat(worker.dispatches())
                .extracting(each -> each.getId())
                .containsExactly("batch0", "batch1", "batch2", "now0", "now1", "now2");
    }

    @Test
    void tokensNotRequestsAreShared() throws Exception {
        assertThat(isSharedByTokens(new Rig(config(100)))).isTrue();
    }

    /** The mutation that the check above must find. */
    @Test
    void aRouterThatWeighsNoTokensIsFoundOut() throws Exception {
        Rig mutant = new Rig(MutantCores.sharingRequests(config(100), RandomGenerator.of("L64X128MixRandom")));
        assertThat(isSharedByTokens(mutant)).isFalse();
    }

    private static boolean isSharedByTokens(Rig router) throws Exception {
        Rig rig = busy(router);
        Rig.FakeWorker worker = rig.workers.getFirst();
        // The worker holds what it has, and has not begun yet.
        for (var each : worker.dispatches()) {
            worker.lists(each.getReq(), ByteString.EMPTY, true);
        }
        for (int i = 0; i < 12; i++) {
            rig.submit(
                    "long" + i,
                    rig.submit().setTenant("long").setEstimatedTokens(900).setPromptText("x".repeat(3_600)));
            rig.submit("short" + i, rig.submit().setTenant("short").setEstimatedTokens(100));
        }
        worker.maxRunning = 15;
        rig.advance(300);
        assertThat(worker.dispatches()).hasSize(17);
        return sent(worker, "short") > 2 * sent(worker, "long");
    }

    private static long sent(Rig.FakeWorker worker, String name) throws Exception {
        return worker.dispatches().stream()
                .filter(each -> each.getId().startsWith(name))
                .count();
    }
}
