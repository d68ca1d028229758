package io.millrace.worker.engine;

import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One execution: the choices of a request that still run, and who hears of them. Confined to the engine's thread.
 *
 * <p>Choices of a fresh request fork from the first when the prompt is computed. Choices that resume have ids of their own already;
 * they run by themselves and share the prompt through the prefix cache.
 */
final class SequenceGroup {

    private final GenerationRequest request;
    private final GenerationListener listener;
    private final long arrival;
    private final List<Sequence> live = new ArrayList<>();
    private final @Nullable PromptScores promptScores;
    private boolean scheduled;

    /** @param arrival number of the execution in order of arrival */
    SequenceGroup(
            GenerationRequest request,
            GenerationListener listener,
            long arrival,
            Tokenizer tokenizer,
            int maxModelLen,
            int kvGroups) {
        this.request = request;
        this.listener = listener;
        this.arrival = arrival;
        OutputRules rules = new OutputRules(request, tokenizer.eosIds(), maxModelLen);
        for (int choice = 0; choice < request.n(); choice++) {
            if (!request.ended()[choice]) {
                live.add(new Sequence(this, choice, tokenizer, rules, kvGroups));
            }
        }
        this.promptScores = request.promptLogprobs() < 0 ? null : new PromptScores(request);
    }

    GenerationRequest request() {
        return request;
    }

    GenerationListener listener() {
        return listener;
    }

    long arrival() {
        return arrival;
    }

    /** The first choice that has not ended: it computes the prompt. */
    Sequence leader() {
        return live.getFirst();
    }

    /** Choices that have not ended. */
    List<Sequence> live() {
        return live;
    }

    @Nullable
    PromptScores promptScores() {
        return promptScores;
    }

    /** Log probabilities of the prompt need every row of it computed here. */
    boolean usesPrefixCache() {
        return promptScores == null || promptScores.complete();
    }

    /** True the first time. */
    boolean markScheduled() {
        boolean first = !scheduled;
        scheduled = true;
        return first;
    }

    /** Whether every choice starts from the bare prompt. */
    boolean isFresh() {
        return live.stream().allMatch(s -> s.outputs() == 0);
    }
}
