package io.millrace.shared.fold;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.fold.JournalFold.Keep;
import io.millrace.shared.fold.Verdict.Reason;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class PartitionFoldTest {

    private static JournalRecord of(long req, JournalRecord record) {
        return record.toBuilder().setId("id" + req).setReq(req).build();
    }

    private static Verdict apply(PartitionFold fold, long req, JournalRecord record) {
        return fold.apply(fold.position(), 0, of(req, record)).verdict();
    }

    @Test
    void aForgottenJournalNeverBeginsAgain() {
        var fold = new PartitionFold(Keep.COUNTS, 0, 1);
        apply(fold, 5, Records.admit(1));
        apply(fold, 5, Records.cancel(1));
        apply(fold, 6, Records.reject());
        assertThat(fold.journal(5)).isNull();
        assertThat(fold.forgotten(5)).isTrue();
        assertThat(apply(fold, 5, Records.admit(1))).isEqualTo(Verdict.ignored(Reason.TERMINAL));
        assertThat(fold.journal(6)).isNotNull();
    }

    @Test
    void aReaderThatReleasesItsJournalsFindsEachWholeUntilThen() {
        var fold = new PartitionFold(Keep.IDS_AND_TEXT, 0, 1);
        fold.keepUntilReleased();
        for (long req = 5; req < 8; req++) {
            apply(fold, req, Records.admit(1));
            apply(fold, req, Records.claim(1, 1));
            apply(fold, req, Records.tokens(1, 0, 0, 3, 4));
            apply(fold, req, Records.end(1, 0, 2));
        }
        assertThat(fold.journals()).hasSize(3).allMatch(journal -> journal.ids(0).length == 2);
        fold.release(5);
        JournalFold released = fold.journals().iterator().next();
        assertThat(released.req()).isEqualTo(5);
        assertThat(released.accepted(0)).isEqualTo(2);
        assertThat(released.terminal()).isTrue();
        assertThatThrownBy(() -> released.ids(0)).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> released.text(0)).isInstanceOf(IllegalStateException.class);
        fold.release(7);
        assertThat(fold.journals()).extracting(JournalFold::req).containsExactly(6L, 7L);
        assertThat(fold.forgotten(5)).isTrue();
        assertThat(apply(fold, 5, Records.admit(1))).isEqualTo(Verdict.ignored(Reason.TERMINAL));
    }

    @Test
    void aJournalThatHasNotEndedIsNotReleased() {
        var fold = new PartitionFold(Keep.IDS_AND_TEXT, 0, 0);
        fold.keepUntilReleased();
        apply(fold, 5, Records.admit(1));
        fold.release(5);
        fold.release(6);
        assertThat(fold.journals()).hasSize(1).allMatch(journal -> journal.ids(0).length == 0);
    }

    @Test
    void aReaderFromACheckpointIgnoresWhatIsBelow() {
        var fold = new PartitionFold(Keep.COUNTS, 5, 10);
        assertThat(apply(fold, 4, Records.admit(1))).isEqualTo(Verdict.ignored(Reason.WRONG_REQ));
        assertThat(apply(fold, 5, Records.admit(1))).isEqualTo(Verdict.accepted());
        fold.raiseFloor(6);
        assertThat(fold.journals()).isEmpty();
        assertThat(apply(fold, 5, Records.claim(1, 1))).isEqualTo(Verdict.ignored(Reason.WRONG_REQ));
    }

    @Test
    void aJournalWithoutItsBeginningIsNotThere() {
        var fold = new PartitionFold(Keep.COUNTS, 0, 10);
        assertThat(apply(fold, 1, Records.claim(1, 1))).isEqualTo(Verdict.ignored(Reason.NO_ADMIT));
        assertThat(apply(fold, 1, Records.dup())).isEqualTo(Verdict.ignored(Reason.NOT_FOLDED));
        assertThat(fold.journal(1)).isNull();
    }

    @Test
    void bytesThatAreNoRecordArePassedOver() {
        var fold = new PartitionFold(Keep.COUNTS, 0, 10);
        var rubbish = new LogRecord(Topic.RESPONSES, 0, 0, 0, "id", new byte[] {(byte) 0xff, 1, 2});
        assertThat(fold.apply(rubbish).verdict()).isEqualTo(Verdict.ignored(Reason.MALFORMED));
        assertThat(fold.apply(new LogRecord(Topic.RESPONSES, 0, 1, 0, "id", null))
                        .verdict())
                .isEqualTo(Verdict.ignored(Reason.MALFORMED));
        assertThat(fold.position()).isEqualTo(2);
    }

    @Test
    void twoReadersOfAnyLogAgreeWhateverTheyKeep() {
        for (long seed = 0; seed < 2_000; seed++) {
            var random = new SplittableRandom(seed);
            var all = new PartitionFold(Keep.IDS_AND_TEXT, 0, Integer.MAX_VALUE);
            var lean = new PartitionFold(Keep.COUNTS, 0, 1);
            List<Verdict> first = new ArrayList<>();
            for (int i = 0; i < 60; i++) {
                JournalRecord record = of(random.nextInt(3), any(random));
                PartitionFold.Folded folded = all.apply(i, i, record);
                first.add(folded.verdict());
                boolean same = lean.apply(i, i, record).verdict().isAccepted()
                        == folded.verdict().isAccepted();
                assertThat(same).as("seed %d record %d", seed, i).isTrue();
            }
            for (JournalFold journal : all.journals()) {
                if (journal.admitted()) {
                    for (int c = 0; c < journal.choices(); c++) {
                        assertThat(journal.ids(c)).hasSize(journal.accepted(c));
                    }
                }
                JournalFold other = lean.journal(journal.req());
                if (other != null) {
                    assertThat(other.attempt()).isEqualTo(journal.attempt());
                    assertThat(other.acceptedTotal()).isEqualTo(journal.acceptedTotal());
                    assertThat(other.terminalRecord()).isEqualTo(journal.terminalRecord());
                }
            }
            assertThat(first.stream().filter(Verdict::isAccepted).count()).isPositive();
        }
    }

    private static JournalRecord any(SplittableRandom random) {
        int aid = 1 + random.nextInt(3);
        int small = random.nextInt(4);
        return switch (random.nextInt(12)) {
            case 0, 1, 2 -> Records.admit(1 + random.nextInt(2));
            case 3, 4 -> Records.claim(1 + random.nextInt(3), aid);
            case 5, 6, 7 -> Records.tokens(aid, random.nextInt(2), small, 1, 2);
            case 8 -> Records.end(aid, random.nextInt(2), small);
            case 9 -> random.nextInt(8) == 0 ? Records.cancel(small) : Records.yield(aid, "x");
            case 10 -> random.nextInt(8) == 0 ? Records.fail(aid, small) : Records.dup();
            default -> Records.output(aid, random.nextInt(2), small, false);
        };
    }
}
