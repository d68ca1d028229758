package io.millrace.worker.engine;

import io.millrace.worker.sampling.SampledToken;
import io.millrace.worker.sampling.Sampler;
import java.util.ArrayList;
import java.util.List;

/**
 * Log probabilities of a prompt's ids, collected chunk by chunk: the logits of row p score id p + 1. The first id has none: NaN. A
 * preempted prompt goes on where it was. Confined to the engine's thread.
 */
final class PromptScores {

    private final int[] promptIds;
    private final int best;
    private boolean reported;
    private final List<SampledToken> scores = new ArrayList<>();

    PromptScores(GenerationRequest request) {
        this.promptIds = request.promptIds();
        this.best = request.promptLogprobs();
        scores.add(new SampledToken(promptIds[0], Float.NaN, new int[0], new float[0]));
    }

    boolean complete() {
        return scores.size() == promptIds.length;
    }

    /** Whether the logits of this row are needed. */
    boolean wants(int position) {
        return position + 1 >= scores.size() && position + 1 < promptIds.length;
    }

    /** Rows come in order. */
    void add(int position, float[] logits, Sampler sampler) {
        if (position + 1 != scores.size()) {
            throw new IllegalStateException(
                    "Row " + position + " of a prompt came when row " + (scores.size() - 1) + " was due.");
        }
        scores.add(sampler.score(logits, 0, promptIds[position + 1], best));
    }

    /** True the first time. */
    boolean markReported() {
        boolean first = !reported;
        reported = true;
        return first;
    }

    List<SampledToken> scores() {
        return List.copyOf(scores);
    }
}
