package io.millrace.router.core;

import static org.assertj.core.api.Assertions.assertThat;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.CancelRequest;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Refuse;
import io.millrace.shared.proto.RequestRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.topic.Topic;
import org.junit.jupiter.api.Test;

/** What is kept of a request that got no answer. */
class ResultsTest {

    private final Rig rig = Rig.withWorkers(Rig.config(), 1);
    private final Rig.FakeWorker worker = rig.workers.getFirst();
    private final long req = rig.submit("a", rig.submit());

    private Result kept() throws Exception {
        rig.advance(1_500);
        assertThat(rig.part(Topic.RESULTS, 0)).hasSize(1);
        return Result.parseFrom(rig.part(Topic.RESULTS, 0).getFirst().value());
    }

    @Test
    void ofARefusalWhatItSaidAndOfWhichField() throws Exception {
        rig.journal(
                "a",
                req,
                JournalRecord.newBuilder()
                        .setRefuse(Refuse.newBuilder()
                                .setAttempt(1)
                                .setStatus(400)
                                .setCode("MR-ENGINE-002")
                                .setMessage("too long")
                                .setParam("prompt")));
        assertThat(kept())
                .extracting(
                        Result::getStatus,
                        Result::getErrorStatus,
                        Result::getErrorCode,
                        Result::getErrorMessage,
                        Result::getErrorParam)
                .containsExactly("refused", 400, "MR-ENGINE-002", "too long", "prompt");
    }

    @Test
    void ofAFailureTheSame() throws Exception {
        ByteString aid = rig.claim("a", req, worker);
        rig.journal(
                "a",
                req,
                JournalRecord.newBuilder()
                        .setFail(Fail.newBuilder()
                                .setAttempt(1)
                                .setAid(aid)
                                .setStatus(400)
                                .setCode("MR-SAMPLE-001")
                                .setMessage("nothing is left")
                                .setParam("logit_bias")));
        assertThat(kept())
                .extracting(
                        Result::getStatus,
                        Result::getErrorStatus,
                        Result::getErrorCode,
                        Result::getErrorMessage,
                        Result::getErrorParam)
                .containsExactly("failed", 400, "MR-SAMPLE-001", "nothing is left", "logit_bias");
    }

    @Test
    void ofOneThatWasCancelledWhy() throws Exception {
        rig.claim("a", req, worker);
        rig.request(
                "a",
                RequestRecord.newBuilder()
                        .setCancel(CancelRequest.newBuilder().setTenant("t").setCause("client")));
        Result kept = kept();
        assertThat(kept.getStatus()).isEqualTo("cancelled");
        assertThat(kept.getCancelCause()).isEqualTo("client");
    }
}
