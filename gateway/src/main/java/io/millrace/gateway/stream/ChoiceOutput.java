package io.millrace.gateway.stream;

import io.millrace.shared.proto.End;
import io.millrace.shared.proto.TokenLogprob;
import io.millrace.shared.proto.Tokens;
import java.util.ArrayList;
import java.util.List;

/** Output of one choice, gathered for an answer in one piece. */
final class ChoiceOutput {

    private final StringBuilder text = new StringBuilder();
    private final List<TokenLogprob> logprobs = new ArrayList<>();
    private String stopReason = "";
    private int tokenCount;

    void add(Tokens tokens) {
        tokenCount += tokens.getIdsCount();
        text.append(tokens.getText());
        logprobs.addAll(tokens.getLogprobsList());
    }

    void end(End end) {
        text.append(end.getText());
        stopReason = end.getStopReason();
    }

    String text() {
        return text.toString();
    }

    List<TokenLogprob> logprobs() {
        return logprobs;
    }

    /** Log probability per token, of tokens that have one. */
    double meanLogprob() {
        double sum = 0;
        for (TokenLogprob token : logprobs) {
            sum += token.getLogprob();
        }
        return sum / Math.max(1, tokenCount);
    }

    /** Stop string or token id; empty: neither. */
    String stopReason() {
        return stopReason;
    }
}
