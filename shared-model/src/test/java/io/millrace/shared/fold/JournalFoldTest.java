package io.millrace.shared.fold;

import static io.millrace.shared.fold.Records.admit;
import static io.millrace.shared.fold.Records.cancel;
import static io.millrace.shared.fold.Records.claim;
import static io.millrace.shared.fold.Records.dup;
import static io.millrace.shared.fold.Records.end;
import static io.millrace.shared.fold.Records.fail;
import static io.millrace.shared.fold.Records.fence;
import static io.millrace.shared.fold.Records.output;
import static io.millrace.shared.fold.Records.refuse;
import static io.millrace.shared.fold.Records.reject;
import static io.millrace.shared.fold.Records.tokens;
import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.fold.JournalFold.Keep;
import io.millrace.shared.fold.Verdict.Reason;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Usage;
import org.junit.jupiter.api.Test;

class JournalFoldTest {

    private final JournalFold fold = new JournalFold(Records.ID, Records.REQ, Keep.IDS_AND_TEXT);
    private long offset = 100;

    private Verdict apply(JournalRecord record) {
        return fold.apply(offset, 1_000 + offset++, record);
    }

    private void accepts(JournalRecord... records) {
        for (JournalRecord record : records) {
            assertThat(apply(record)).as("%s", record).isEqualTo(Verdict.accepted());
        }
    }

    private void ignores(Reason reason, JournalRecord record) {
        assertThat(apply(record)).as("%s", record).isEqualTo(Verdict.ignored(reason));
    }

    @Test
    void nothingCountsBeforeTheJournalBegins() {
        ignores(Reason.NO_ADMIT, claim(1, 1));
        ignores(Reason.NO_ADMIT, cancel(1));
        ignores(Reason.NO_ADMIT, tokens(1, 0, 0, 5));
        assertThat(fold.begun()).isFalse();
    }

    @Test
    void theFirstAdmitBeginsAndALaterOneIsADuplicate() {
        accepts(admit(1));
        ignores(Reason.DUPLICATE, admit(3));
        ignores(Reason.DUPLICATE, reject());
        assertThat(fold.choices()).isEqualTo(1);
        assertThat(fold.beginOffset()).isEqualTo(100);
        assertThat(fold.terminal()).isFalse();
    }

    @Test
    void aRejectBeginsAndEnds() {
        accepts(reject());
        assertThat(fold.rejected()).isTrue();
        assertThat(fold.terminal()).isTrue();
        assertThat(fold.endOffset()).isEqualTo(100);
        ignores(Reason.DUPLICATE, admit(1));
        ignores(Reason.TERMINAL, claim(1, 1));
    }

    @Test
    void theFirstClaimOfAnAttemptWinsAndItsRivalIsLate() {
        accepts(admit(1), claim(1, 1));
        ignores(Reason.LATE_ATTEMPT, claim(1, 2));
        ignores(Reason.STALE_AID, tokens(2, 0, 0, 5));
        accepts(tokens(1, 0, 0, 5));
        assertThat(fold.attempt()).isEqualTo(1);
        assertThat(fold.aid()).isEqualTo(Records.aid(1));
    }

    @Test
    void aClaimMustFollowTheCurrentAttemptAndNameAdmitsWeights() {
        accepts(admit(1));
        ignores(Reason.LATE_ATTEMPT, claim(2, 1));
        ignores(Reason.WEIGHTS, claim(1, 1, 43, "cpu-f32"));
        accepts(claim(1, 1));
        ignores(Reason.LATE_ATTEMPT, claim(3, 3));
        ignores(Reason.AID_REUSED, claim(2, 1));
        accepts(claim(2, 2));
    }

    @Test
    void aClaimWithoutAnAidOf128BitsIsMalformed() {
        accepts(admit(1));
        JournalRecord without = Records.record()
                .setClaim(Claim.newBuilder().setAttempt(1).setWeightsHash(Records.WEIGHTS))
                .build();
        ignores(Reason.MALFORMED, without);
    }

    @Test
    void aFenceFreezesTheCountsAndSilencesTheAttemptBefore() {
        accepts(admit(2), claim(1, 1), tokens(1, 0, 0, 1, 2), tokens(1, 1, 0, 3));
        accepts(claim(2, 2));
        ignores(Reason.STALE_AID, tokens(1, 0, 2, 9));
        ignores(Reason.STALE_AID, end(1, 0, 2));
        ignores(Reason.STALE_AID, Records.yield(1, "drain"));
        accepts(tokens(2, 0, 2, 4), tokens(2, 1, 1, 5));
        assertThat(fold.ids(0)).containsExactly(1, 2, 4);
        assertThat(fold.ids(1)).containsExactly(3, 5);
        assertThat(fold.attemptTokens()).isEqualTo(2);
    }

    @Test
    void tokensAtAnAcceptedPositionAreDuplicatesAndHarmless() {
        accepts(admit(1), claim(1, 1), tokens(1, 0, 0, 1, 2));
        ignores(Reason.DUPLICATE, tokens(1, 0, 0, 1, 2));
        ignores(Reason.DUPLICATE, tokens(1, 0, 1, 2, 3));
        accepts(tokens(1, 0, 2, 3));
        assertThat(fold.text(0)).isEqualTo("bcd");
    }

    @Test
    void aGapKillsTheAttemptUntilTheNextFence() {
        accepts(admit(1), claim(1, 1), tokens(1, 0, 0, 1));
        ignores(Reason.GAP, tokens(1, 0, 2, 3));
        assertThat(fold.dead()).isTrue();
        assertThat(fold.running()).isFalse();
        ignores(Reason.DEAD_ATTEMPT, tokens(1, 0, 1, 2));
        ignores(Reason.DEAD_ATTEMPT, end(1, 0, 1));
        accepts(claim(2, 2), tokens(2, 0, 1, 7));
        assertThat(fold.dead()).isFalse();
        assertThat(fold.ids(0)).containsExactly(1, 7);
    }

    @Test
    void anEndBeyondTheAcceptedCountIsAGapAndOneBelowItIsIgnored() {
        accepts(admit(1), claim(1, 1), tokens(1, 0, 0, 1, 2));
        ignores(Reason.COUNT, end(1, 0, 1));
        assertThat(fold.running()).isTrue();
        ignores(Reason.GAP, end(1, 0, 3));
        assertThat(fold.dead()).isTrue();
    }

    @Test
    void theRequestEndsWhenEveryChoiceHasEnded() {
        accepts(admit(2), claim(1, 1), tokens(1, 1, 0, 1), end(1, 1, 1));
        assertThat(fold.terminal()).isFalse();
        ignores(Reason.CHOICE_ENDED, tokens(1, 1, 1, 2));
        ignores(Reason.CHOICE_ENDED, end(1, 1, 1));
        accepts(claim(2, 2), end(2, 0, 0));
        assertThat(fold.terminal()).isTrue();
        assertThat(fold.endOffset()).isEqualTo(offset - 1);
        assertThat(fold.text(1)).isEqualTo("b!");
        ignores(Reason.TERMINAL, tokens(2, 0, 0, 1));
        ignores(Reason.TERMINAL, claim(3, 3));
        ignores(Reason.TERMINAL, cancel(3));
        ignores(Reason.DUPLICATE, admit(1));
    }

    @Test
    void aChoiceThatDoesNotExistIsIgnored() {
        accepts(admit(1), claim(1, 1));
        ignores(Reason.NO_SUCH_CHOICE, tokens(1, 1, 0, 1));
        ignores(Reason.NO_SUCH_CHOICE, tokens(1, -1, 0, 1));
        ignores(Reason.NO_SUCH_CHOICE, end(1, 7, 0));
        ignores(Reason.MALFORMED, tokens(1, 0, 0));
    }

    @Test
    void refusalCancelAndRouterFailAreFences() {
        for (JournalRecord last : new JournalRecord[] {refuse(2), cancel(2), fence(2)}) {
            JournalFold each = new JournalFold(Records.ID, Records.REQ, Keep.COUNTS);
            each.apply(0, 0, admit(1));
            each.apply(1, 0, claim(1, 1));
            JournalRecord late = last.toBuilder().build();
            assertThat(each.apply(2, 0, refuse(1))).isEqualTo(Verdict.ignored(Reason.LATE_ATTEMPT));
            assertThat(each.apply(3, 0, cancel(1))).isEqualTo(Verdict.ignored(Reason.LATE_ATTEMPT));
            assertThat(each.apply(4, 0, fence(3))).isEqualTo(Verdict.ignored(Reason.LATE_ATTEMPT));
            assertThat(each.apply(5, 0, late)).isEqualTo(Verdict.accepted());
            assertThat(each.terminalRecord()).isEqualTo(last);
        }
    }

    @Test
    void aWorkersFailMustNameItsAidAndTheSumOfTheCounts() {
        accepts(admit(2), claim(1, 1), tokens(1, 0, 0, 1, 2), tokens(1, 1, 0, 3));
        ignores(Reason.STALE_AID, fail(2, 3));
        ignores(Reason.COUNT, fail(1, 2));
        accepts(fail(1, 3));
        assertThat(fold.terminal()).isTrue();
    }

    @Test
    void aWorkersFailBeyondTheCountsIsAGap() {
        accepts(admit(1), claim(1, 1));
        ignores(Reason.GAP, fail(1, 1));
        assertThat(fold.dead()).isTrue();
    }

    @Test
    void aYieldEndsTheAttemptButNotTheRequest() {
        accepts(admit(1), claim(1, 1), tokens(1, 0, 0, 1), Records.yield(1, "drain"));
        assertThat(fold.yielded()).isTrue();
        assertThat(fold.yieldCause()).isEqualTo("drain");
        ignores(Reason.YIELDED, tokens(1, 0, 1, 2));
        ignores(Reason.YIELDED, Records.yield(1, "drain"));
        accepts(claim(2, 2));
        assertThat(fold.yielded()).isFalse();
    }

    @Test
    void outputHasItsOwnSequenceForEachIndex() {
        accepts(admit(1), claim(1, 1), output(1, 0, 0, false), output(1, 1, 0, true), output(1, 0, 1, true));
        ignores(Reason.CHOICE_ENDED, output(1, 1, 1, false));
        assertThat(fold.outputParts(0)).isEqualTo(2);
        assertThat(fold.outputEnded(0)).isTrue();
        accepts(claim(2, 2));
        ignores(Reason.CHOICE_ENDED, output(2, 0, 0, false));
        accepts(output(2, 2, 0, false));
        ignores(Reason.DUPLICATE, output(2, 2, 0, false));
        ignores(Reason.GAP, output(2, 2, 3, false));
        assertThat(fold.dead()).isTrue();
    }

    @Test
    void otherNumericsAfterAcceptedTokensMakeTheAnswerInexact() {
        accepts(admit(1), claim(1, 1, Records.WEIGHTS, "a"), claim(2, 2, Records.WEIGHTS, "b"));
        assertThat(fold.inexact()).isFalse();
        accepts(tokens(2, 0, 0, 1), claim(3, 3, Records.WEIGHTS, "b"));
        assertThat(fold.inexact()).isFalse();
        accepts(claim(4, 4, Records.WEIGHTS, "c"));
        assertThat(fold.inexact()).isTrue();
    }

    @Test
    void otherNumericsAfterAcceptedOutputsMakeTheAnswerInexact() {
        accepts(admit(1), claim(1, 1, Records.WEIGHTS, "a"), claim(2, 2, Records.WEIGHTS, "b"));
        accepts(output(2, 3, 0, true), output(2, 1, 0, true), claim(3, 3, Records.WEIGHTS, "b"));
        assertThat(fold.inexact()).isFalse();
        assertThat(fold.outputsEnded()).containsExactly(1, 3);
        accepts(claim(4, 4, Records.WEIGHTS, "c"));
        assertThat(fold.inexact()).isTrue();
    }

    @Test
    void usageIsWhatWasDelivered() {
        accepts(admit(2), claim(1, 1), tokens(1, 0, 0, 1, 2), tokens(1, 1, 0, 3));
        accepts(Records.record()
                .setEnd(End.newBuilder()
                        .setAid(Records.aid(1))
                        .setN(2)
                        .setUsage(Usage.newBuilder().setPromptTokens(11).setReasoningTokens(1)))
                .build());
        assertThat(fold.usage())
                .isEqualTo(Usage.newBuilder()
                        .setPromptTokens(11)
                        .setCompletionTokens(3)
                        .setCachedTokens(3)
                        .setReasoningTokens(1)
                        .build());
    }

    @Test
    void duplicatesAndRecordsOfALaterVersionAreNotFolded() {
        accepts(admit(1));
        ignores(Reason.NOT_FOLDED, dup());
        ignores(Reason.NOT_FOLDED, Records.record().build());
    }

    @Test
    void recordsOfAnotherRequestAndOffsetsReadTwiceAreIgnored() {
        accepts(admit(1));
        ignores(Reason.WRONG_REQ, claim(1, 1).toBuilder().setReq(8).build());
        ignores(Reason.WRONG_REQ, claim(1, 1).toBuilder().setId("other").build());
        assertThat(fold.apply(offset - 1, 0, claim(1, 1))).isEqualTo(Verdict.ignored(Reason.DUPLICATE));
        assertThat(fold.attempt()).isZero();
    }

    @Test
    void timesAndOffsetsOfFirstTokenAndEndAreKept() {
        accepts(admit(1), claim(1, 1), tokens(1, 0, 0, 1), tokens(1, 0, 1, 2), end(1, 0, 2));
        assertThat(fold.beginMs()).isEqualTo(1_100);
        assertThat(fold.claimOffset()).isEqualTo(101);
        assertThat(fold.firstTokenOffset()).isEqualTo(102);
        assertThat(fold.firstTokenMs()).isEqualTo(1_102);
        assertThat(fold.endMs()).isEqualTo(1_104);
    }
}
