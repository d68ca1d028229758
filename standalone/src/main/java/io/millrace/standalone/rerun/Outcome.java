package io.millrace.standalone.rerun;

import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.Verdict;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/**
 * What came of a request, as its journal says.
 *
 * @param status {@code running}, {@code completed}, {@code cancelled}, or {@code STATUS CODE: MESSAGE} of what ended it
 * @param weightsHash of ADMIT; 0 when it was not admitted
 * @param numericsId of the claim that counted last; empty when nobody claimed
 * @param inexact attempts of different numerics took part
 * @param outputs there is output that is not tokens: embeddings, scores, tokenizations, prompts' log probabilities
 */
record Outcome(
        String status,
        String model,
        long weightsHash,
        String numericsId,
        boolean inexact,
        int promptTokens,
        long promptHash,
        boolean outputs,
        List<Choice> choices) {

    static final String RUNNING = "running";
    static final String COMPLETED = "completed";

    /** One choice: everything that a client could have seen of it. */
    record Choice(List<Integer> ids, String text, String finishReason, String stopReason, List<TokenLogprob> logprobs) {
        Choice {
            ids = List.copyOf(ids);
            logprobs = List.copyOf(logprobs);
        }
    }

    /** Gathers a journal record by record. Not thread-safe. */
    static final class Gathering {

        private final JournalFold fold;
        private final List<List<TokenLogprob>> logprobs = new ArrayList<>();
        private final List<StringBuilder> texts = new ArrayList<>();
        private boolean outputs;

        Gathering(String id, long req) {
            fold = new JournalFold(id, req, JournalFold.Keep.IDS_AND_TEXT);
        }

        /** Takes the next record of the request's key; one that does not count changes nothing. */
        void add(long offset, long timestampMs, JournalRecord record) {
            if (!(fold.apply(offset, timestampMs, record) instanceof Verdict.Accepted)) {
                return;
            }
            if (record.hasTokens()) {
                at(record.getTokens().getChoice());
                logprobs.get(record.getTokens().getChoice())
                        .addAll(record.getTokens().getLogprobsList());
                texts.get(record.getTokens().getChoice())
                        .append(record.getTokens().getText());
            } else if (record.hasEnd()) {
                at(record.getEnd().getChoice());
                texts.get(record.getEnd().getChoice()).append(record.getEnd().getText());
            }
            outputs |= record.hasOutput();
        }

        private void at(int choice) {
            while (texts.size() <= choice) {
                texts.add(new StringBuilder());
                logprobs.add(new ArrayList<>());
            }
        }

        boolean ended() {
            return fold.terminal();
        }

        Outcome outcome() {
            List<Choice> choices = new ArrayList<>();
            for (int choice = 0; choice < fold.choices(); choice++) {
                at(choice);
                End end = fold.end(choice);
                List<Integer> ids = new ArrayList<>();
                for (int id : fold.ids(choice)) {
                    ids.add(id);
                }
                choices.add(new Choice(
                        ids,
                        texts.get(choice).toString(),
                        end == null ? "" : end.getFinishReason(),
                        end == null ? "" : end.getStopReason(),
                        logprobs.get(choice)));
            }
            return new Outcome(
                    status(),
                    fold.admitted() ? fold.admit().getModel() : "",
                    fold.admitted() ? fold.admit().getWeightsHash() : 0,
                    fold.numericsId(),
                    fold.inexact(),
                    fold.promptLength(),
                    fold.promptHash(),
                    outputs,
                    List.copyOf(choices));
        }

        private String status() {
            JournalRecord last = fold.terminalRecord();
            if (last == null) {
                return RUNNING;
            }
            return switch (last.getRecordCase()) {
                case END -> COMPLETED;
                case CANCEL -> "cancelled: " + last.getCancel().getCause();
                case REJECT ->
                    status(
                            last.getReject().getStatus(),
                            last.getReject().getCode(),
                            last.getReject().getMessage());
                case REFUSE ->
                    status(
                            last.getRefuse().getStatus(),
                            last.getRefuse().getCode(),
                            last.getRefuse().getMessage());
                case FAIL ->
                    status(
                            last.getFail().getStatus(),
                            last.getFail().getCode(),
                            last.getFail().getMessage());
                default -> RUNNING;
            };
        }

        private static String status(int status, String code, String message) {
            return status + " " + code + ": " + message;
        }
    }
}
