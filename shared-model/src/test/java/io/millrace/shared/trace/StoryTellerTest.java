package io.millrace.shared.trace;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.google.protobuf.ByteString;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dispatch;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Reject;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.proto.Usage;
import io.millrace.shared.trace.RequestHistory.Dispatched;
import io.millrace.shared.trace.RequestHistory.Journalled;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class StoryTellerTest {

    private static final String ID = "0002" + "ab".repeat(16);
    private static final long T0 = 1_700_000_000_000L;

    private final List<Journalled> journal = new ArrayList<>();
    private final List<Dispatched> dispatches = new ArrayList<>();

    private static ByteString aid(int attempt) {
        return ByteString.copyFrom(new byte[] {(byte) attempt, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
    }

    private void put(long afterMs, JournalRecord.Builder record) {
        journal.add(new Journalled(
                100 + journal.size(), T0 + afterMs, record.setId(ID).setReq(17).build()));
    }

    private void admit(long afterMs) {
        put(
                afterMs,
                JournalRecord.newBuilder()
                        .setAdmit(Admit.newBuilder().setFoldVersion(1).setN(1)));
    }

    private void claim(long afterMs, int attempt, String worker, String cause) {
        put(
                afterMs,
                JournalRecord.newBuilder()
                        .setClaim(Claim.newBuilder()
                                .setAttempt(attempt)
                                .setAid(aid(attempt))
                                .setWorker(worker)
                                .setSlot(attempt)
                                .setIncarnation(attempt)
                                .setNumericsId("num")
                                .setPromptLength(attempt == 1 ? 42 : 0)
                                .setCause(cause)
                                .setFence(!cause.isEmpty())));
    }

    private void dispatched(long afterMs, int attempt) {
        dispatches.add(new Dispatched(
                attempt,
                5,
                T0 + afterMs,
                Assignment.newBuilder()
                        .setIncarnation(attempt)
                        .setDispatch(Dispatch.newBuilder().setAttempt(attempt))
                        .build()));
    }

    private void token(long afterMs, int attempt, int start) {
        put(
                afterMs,
                JournalRecord.newBuilder()
                        .setTokens(Tokens.newBuilder()
                                .setAid(aid(attempt))
                                .setStart(start)
                                .addIds(7)
                                .setText("SECRET OUTPUT")));
    }

    private void end(long afterMs, int attempt, int n) {
        put(
                afterMs,
                JournalRecord.newBuilder()
                        .setEnd(End.newBuilder()
                                .setAid(aid(attempt))
                                .setN(n)
                                .setFinishReason("length")
                                .setUsage(Usage.newBuilder().setPromptTokens(42).setCachedTokens(16))));
    }

    private Story tell(long readAfterMs) {
        Submit submit = Submit.newBuilder()
                .setTenant("acme")
                .setModel("alpha")
                .setGateway("gateway-1")
                .setCreatedMs(T0)
                .setTrace(TraceContext.newBuilder()
                        .setTraceparent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"))
                .setChat(ChatInput.newBuilder().setMessagesJson("SECRET PROMPT"))
                .setShape(ResponseShape.newBuilder().setStream(true))
                .build();
        return StoryTeller.tell(new RequestHistory(ID, 2, 17, submit, T0 + 3, journal, dispatches, T0 + readAfterMs));
    }

    private static String text(Story story) {
        return String.join("\n", StoryText.lines(story));
    }

    private void failedOver() {
        admit(5);
        dispatched(6, 1);
        claim(10, 1, "w1", "");
        token(30, 1, 0);
        token(40, 1, 1);
        claim(1_040, 2, "w2", "worker_lost");
        dispatched(1_042, 2);
        token(1_050, 1, 2); // A zombie's.
        token(1_100, 2, 2);
        token(1_110, 2, 3);
        end(1_111, 2, 4);
    }

    @Test
    void theSharesOfTheTimeAddUpToTheWhole() {
        failedOver();
        Story story = tell(9_000);

        assertThat(story.root().tookMs()).isEqualTo(1_111);
        assertThat(story.shares().values().stream().mapToLong(Long::longValue).sum())
                .isEqualTo(1_111);
        assertThat(story.shares())
                .containsEntry("send: gateway to log", 3L)
                .containsEntry("router queue", 1L + 2L)
                .containsEntry("worker queue, template, tokens, claim", 4L)
                .containsEntry("engine queue and prefill", 20L + 58L)
                .containsEntry("decode", 10L + 10L)
                .containsEntry("lost attempt, until its fence", 1_000L);
    }

    @Test
    void aFailOverIsTwoAttemptsWithTheFenceBetweenAndTheZombiesRecordNamed() {
        failedOver();
        Story story = tell(9_000);

        assertThat(text(story))
                .contains("attempt 1 on w1", "fence: attempt 2 because of worker_lost", "attempt 2 on w2")
                .contains("finished: length", "trace   0af7651916cd43dd8448eb211c80319c")
                .contains("42 of the prompt (16 of them cached), 4 generated, 2 attempts");
        assertThat(story.ignored()).containsExactly("1 x TOKENS: STALE_AID");
    }

    @Test
    void aRequestThatRunsIsOpenUpToWhenTheLogWasRead() {
        admit(5);
        claim(10, 1, "w1", "");
        token(30, 1, 0);
        Story story = tell(500);

        assertThat(story.root().open()).isTrue();
        assertThat(story.root().tookMs()).isEqualTo(500);
        assertThat(text(story)).contains("status  running", "now: running ...");
    }

    @Test
    void aSilenceFarBeyondTheUsualIsAStall() {
        admit(5);
        claim(10, 1, "w1", "");
        for (int i = 0; i < 40; i++) {
            token(30 + 10L * i + (i >= 20 ? 700 : 0), 1, i);
        }
        end(1_200, 1, 40);

        assertThat(text(tell(9_000)))
                .contains("40 tokens in 40 records (1.00 a step)", "median 10 ms", "longest 710 ms")
                .contains("stall of 710 ms after token 20 of choice 0");
    }

    @Test
    void aRejectedRequestSaysSoAndOneThatIsNotAdmittedToo() {
        assertThat(text(tell(50))).contains("accepted, not admitted yet");
        put(
                6,
                JournalRecord.newBuilder()
                        .setReject(Reject.newBuilder().setStatus(503).setCode("no_worker")));
        assertThat(text(tell(50))).contains("rejected: 503 no_worker");
    }

    @Test
    void noTextOfPromptOrAnswerIsShown() {
        failedOver();
        assertThat(text(tell(9_000))).doesNotContain("SECRET");
    }

    @Test
    void whatIsNoIdIsRefusedAndEveryFormOfOneUnderstood() {
        assertThat(RequestTrace.parse(" chatcmpl-" + ID).text()).isEqualTo(ID);
        assertThat(RequestTrace.parse("resp_" + ID).partition()).isEqualTo(2);
        assertThatThrownBy(() -> RequestTrace.parse("chatcmpl-12"))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-TRACE-001"));
        assertThatThrownBy(() -> RequestTrace.parse("batch_" + ID)).hasMessageContaining("output file");
    }
}
