package io.millrace.router.core;

import io.millrace.router.core.failover.Blame;
import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.ChoiceResult;
import io.millrace.shared.proto.DeadLetter;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Result;
import io.millrace.shared.proto.Submit;

/** Summaries of requests that ended. */
final class Results {

    private Results() {}

    /** The status of an ended journal: completed, cancelled, failed, refused or rejected. */
    static String status(JournalFold journal) {
        JournalRecord last = journal.terminalRecord();
        return switch (last == null ? JournalRecord.RecordCase.RECORD_NOT_SET : last.getRecordCase()) {
            case END -> "completed";
            case CANCEL -> "cancelled";
            case REFUSE -> "refused";
            case REJECT -> "rejected";
            default -> "failed";
        };
    }

    /** Whether the request leaves a result: what is stored, and what a later request of its key must find. */
    static boolean due(Request request) {
        return !request.deleted
                && (request.submit.getStore()
                        || !request.submit.getIdempotencyKey().isEmpty());
    }

    /** Enough to answer a retrieval, or to rebuild the same events; without content when it is not to be stored. */
    static Result of(Request request, JournalFold journal) {
        Submit submit = request.submit;
        Result.Builder result = Result.newBuilder()
                .setId(request.id)
                .setReq(request.req)
                .setTenant(submit.getTenant())
                .setStatus(status(journal))
                .setUsage(journal.usage())
                .setCreatedMs(submit.getCreatedMs())
                .setEndedMs(journal.endMs())
                .setAdmitOffset(journal.beginOffset())
                .setNumericsId(journal.numericsId())
                .setInexact(journal.inexact());
        if (submit.getStore()) {
            result.setSubmit(submit);
            for (int choice = 0; choice < journal.choices(); choice++) {
                ChoiceResult.Builder each = ChoiceResult.newBuilder().setText(journal.text(choice));
                for (int id : journal.ids(choice)) {
                    each.addIds(id);
                }
                End end = journal.end(choice);
                if (end != null) {
                    each.setFinishReason(end.getFinishReason());
                }
                result.addChoices(each);
            }
        } else {
            result.setSubmit(Submit.newBuilder()
                    .setTenant(submit.getTenant())
                    .setModel(submit.getModel())
                    .setIdempotencyKey(submit.getIdempotencyKey())
                    .setBodyHash(submit.getBodyHash()));
        }
        JournalRecord last = journal.terminalRecord();
        if (last != null && last.hasRefuse()) {
            result.setErrorStatus(last.getRefuse().getStatus())
                    .setErrorCode(last.getRefuse().getCode())
                    .setErrorMessage(last.getRefuse().getMessage())
                    .setErrorParam(last.getRefuse().getParam());
        } else if (last != null && last.hasFail()) {
            result.setErrorStatus(last.getFail().getStatus())
                    .setErrorCode(last.getFail().getCode())
                    .setErrorMessage(last.getFail().getMessage())
                    .setErrorParam(last.getFail().getParam());
        } else if (last != null && last.hasCancel()) {
            result.setCancelCause(last.getCancel().getCause());
        }
        return result.build();
    }

    static DeadLetter deadLetter(Request request, Blame blame, String cause, long nowMs) {
        return DeadLetter.newBuilder()
                .setId(request.id)
                .setReq(request.req)
                .setPartition(request.partition.number())
                .setSubmit(request.submit)
                .setCrashes(blame.crashes())
                .setSoloCrashes(blame.solo())
                .setCause(cause)
                .setTimeMs(nowMs)
                .build();
    }
}
