package io.millrace.shared.fold;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Cancel;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.Dup;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.Refuse;
import io.millrace.shared.proto.Reject;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.Yield;
import java.util.Arrays;

/** Journal records for tests. */
final class Records {

    static final String ID = "0000aa";
    static final long REQ = 7;
    static final long WEIGHTS = 42;

    private Records() {}

    static ByteString aid(int number) {
        byte[] bits = new byte[16];
        Arrays.fill(bits, (byte) number);
        return ByteString.copyFrom(bits);
    }

    static JournalRecord.Builder record() {
        return JournalRecord.newBuilder().setId(ID).setReq(REQ);
    }

    static JournalRecord admit(int n) {
        return record().setAdmit(Admit.newBuilder()
                        .setFoldVersion(JournalFold.VERSION)
                        .setModel("m")
                        .setWeightsHash(WEIGHTS)
                        .setN(n))
                .build();
    }

    static JournalRecord reject() {
        return record().setReject(Reject.newBuilder().setStatus(404)).build();
    }

    static JournalRecord claim(int attempt, int aid) {
        return claim(attempt, aid, WEIGHTS, "cpu-f32");
    }

    static JournalRecord claim(int attempt, int aid, long weights, String numerics) {
        return record().setClaim(Claim.newBuilder()
                        .setAttempt(attempt)
                        .setAid(aid(aid))
                        .setWorker("w" + aid)
                        .setIncarnation(aid)
                        .setWeightsHash(weights)
                        .setNumericsId(numerics)
                        .setPromptLength(11)
                        .setPromptHash(99)
                        .setCachedTokens(3)
                        .setFence(attempt > 1))
                .build();
    }

    static JournalRecord tokens(int aid, int choice, int start, int... ids) {
        Tokens.Builder tokens =
                Tokens.newBuilder().setAid(aid(aid)).setChoice(choice).setStart(start);
        StringBuilder text = new StringBuilder();
        for (int id : ids) {
            tokens.addIds(id);
            text.append((char) ('a' + id));
        }
        return record().setTokens(tokens.setText(text.toString())).build();
    }

    static JournalRecord output(int aid, int index, int part, boolean last) {
        return record().setOutput(Output.newBuilder()
                        .setAid(aid(aid))
                        .setIndex(index)
                        .setPart(part)
                        .setLast(last))
                .build();
    }

    static JournalRecord end(int aid, int choice, int n) {
        return record().setEnd(End.newBuilder()
                        .setAid(aid(aid))
                        .setChoice(choice)
                        .setN(n)
                        .setFinishReason("stop")
                        .setText("!"))
                .build();
    }

    static JournalRecord refuse(int attempt) {
        return record().setRefuse(Refuse.newBuilder().setAttempt(attempt).setStatus(400))
                .build();
    }

    static JournalRecord fence(int attempt) {
        return record().setFail(Fail.newBuilder().setAttempt(attempt).setStatus(504))
                .build();
    }

    static JournalRecord fail(int aid, int n) {
        return record().setFail(Fail.newBuilder().setAid(aid(aid)).setN(n).setStatus(500))
                .build();
    }

    static JournalRecord yield(int aid, String cause) {
        return record().setYield(Yield.newBuilder().setAid(aid(aid)).setCause(cause))
                .build();
    }

    static JournalRecord cancel(int attempt) {
        return record().setCancel(Cancel.newBuilder().setAttempt(attempt).setCause("user"))
                .build();
    }

    static JournalRecord dup() {
        return record().setDup(Dup.newBuilder().setDuplicate(12)).build();
    }
}
