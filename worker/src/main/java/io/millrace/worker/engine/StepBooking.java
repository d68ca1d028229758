package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Takes the tokens of a step into sequences and out to listeners. Confined to the engine's thread. */
final class StepBooking {

    private final Executions executions;
    private final Outputs outputs;
    private final Sampler scorer;
    private long generatedTokens;

    StepBooking(Executions executions, Outputs outputs, int vocabulary) {
        this.executions = executions;
        this.outputs = outputs;
        this.scorer = new Sampler(vocabulary);
    }

    /** So far. */
    long generatedTokens() {
        return generatedTokens;
    }

    /** First those that somebody has waited for longest, a sequence's first. */
    void book(Step step, StepOutputs result) {
        List<Step.Target> targets = step.targets();
        boolean[] first = new boolean[targets.size()];
        for (int r = 0; r < first.length; r++) {
            first[r] = targets.get(r).sequence().outputs() == 0;
        }
        for (boolean firsts : new boolean[] {true, false}) {
            for (int r = 0; r < first.length; r++) {
                if (first[r] == firsts) {
                    book(targets.get(r), result, r);
                }
            }
        }
    }

    private void book(Step.Target target, StepOutputs result, int row) {
        Sequence s = target.sequence();
        if (!s.group().live().contains(s)) {
            return;
        }
        MillraceException error = result.errors() == null ? null : result.errors()[row];
        try {
            if (error != null) {
                throw error;
            }
            if (target.scoredPosition() >= 0) {
                score(s.group(), target.scoredPosition(), result.logits(), row);
            } else {
                take(s, result.sampled()[row]);
            }
        } catch (MillraceException e) {
            boolean elsewhere = e.code().equals("MR-SAMPLING-001");
            executions.fail(s.group(), e.code(), String.valueOf(e.getMessage()), elsewhere);
        } catch (RuntimeException e) {
            executions.fail(s.group(), "MR-ENGINE-013", "An id of " + s + " has no text: " + e, false);
        }
    }

    private void score(SequenceGroup group, int position, float @Nullable [][] logits, int row) {
        PromptScores scores = group.promptScores();
        if (scores == null || logits == null) {
            throw new MillraceException("MR-ENGINE-012", "The backend gave no logits for a row of the prompt.");
        }
        scores.add(position, logits[row], scorer);
    }

    private void take(Sequence s, @Nullable SampledToken token) {
        if (token == null) {
            throw new MillraceException("MR-ENGINE-012", "The backend sampled no id for " + s + ".");
        }
        PromptScores scores = s.group().promptScores();
        if (scores != null && scores.complete() && scores.markReported()) {
            List<SampledToken> list = scores.scores();
            outputs.add(() -> s.group().listener().onPromptLogprobs(list));
        }
        OutputRules.Verdict verdict = s.accept(token.id());
        generatedTokens++;
        outputs.tokens(s, token, verdict.text());
        if (verdict.end() != null) {
            executions.end(s, verdict.end());
        }
    }
}
