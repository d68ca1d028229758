package io.millrace.gateway.stream;

import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Cancel;
import io.millrace.shared.proto.ChoiceResult;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Tokens;
import java.util.ArrayList;
import java.util.List;

/** A kept result as the shortest journal that comes to it, for renderings in one piece. */
public final class StoredAnswer {

    private StoredAnswer() {}

    /** Its records, in order. */
    public static List<JournalRecord> records(Result result) {
        List<JournalRecord> records = new ArrayList<>();
        records.add(of(result)
                .setAdmit(Admit.newBuilder()
                        .setCreatedMs(result.getCreatedMs())
                        .setN(Math.max(1, result.getChoicesCount())))
                .build());
        records.add(of(result)
                .setClaim(Claim.newBuilder()
                        .setAttempt(1)
                        .setNumericsId(result.getNumericsId())
                        .setPromptLength(result.getUsage().getPromptTokens())
                        .setCachedTokens(result.getUsage().getCachedTokens()))
                .build());
        for (int i = 0; i < result.getChoicesCount(); i++) {
            ChoiceResult choice = result.getChoices(i);
            records.add(of(result)
                    .setTokens(Tokens.newBuilder()
                            .setChoice(i)
                            .addAllIds(choice.getIdsList())
                            .setText(choice.getText()))
                    .build());
            if (!choice.getFinishReason().isEmpty()) {
                End.Builder end = End.newBuilder()
                        .setChoice(i)
                        .setN(choice.getIdsCount())
                        .setFinishReason(choice.getFinishReason())
                        .setInexact(result.getInexact());
                if (i == 0) {
                    end.setUsage(result.getUsage());
                }
                records.add(of(result).setEnd(end).build());
            }
        }
        switch (result.getStatus()) {
            case "completed" -> {}
            case "cancelled" ->
                records.add(of(result)
                        .setCancel(Cancel.newBuilder().setCause(result.getCancelCause()))
                        .build());
            default ->
                records.add(of(result)
                        .setFail(Fail.newBuilder()
                                .setStatus(result.getErrorStatus())
                                .setCode(result.getErrorCode())
                                .setMessage(result.getErrorMessage())
                                .setParam(result.getErrorParam()))
                        .build());
        }
        return records;
    }

    private static JournalRecord.Builder of(Result result) {
        return JournalRecord.newBuilder().setId(result.getId()).setReq(result.getReq());
    }
}
