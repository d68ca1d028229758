package io.millrace.worker.engine;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.text.OutputText;
import io.millrace.worker.text.grammar.GrammarCursor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * When a choice ends and which ids it may not have next: pure functions of the request and the choice's ids, so that a resumed
 * choice is judged as an undisturbed one.
 */
final class OutputRules {

    private static final int[] NONE = {};

    /**
     * What an id did.
     *
     * @param text what became final with it
     * @param end null: the choice goes on
     */
    record Verdict(String text, @Nullable End end) {}

    /** Arguments of {@link GenerationListener#onEnd}. */
    record End(String finishReason, String stopReason, String text) {}

    private final GenerationRequest request;
    private final int[] eosIds;
    private final int maxModelLen;

    OutputRules(GenerationRequest request, int[] eosIds, int maxModelLen) {
        this.request = request;
        this.eosIds = eosIds;
        this.maxModelLen = maxModelLen;
    }

    /**
     * Judges the last id of the sequence. A stop id ends the choice without giving text, unless the stop is to be included. So does
     * an output that its grammar completes, whatever {@code min_tokens} says.
     *
     * @throws MillraceException MR-GRAMMAR-002 when the grammar does not allow the id
     */
    Verdict judge(Sequence s, OutputText output, @Nullable GrammarCursor grammar, int id) {
        boolean stopId = contains(request.stopIds(), id) && s.outputs() > request.minTokens();
        String text = stopId && !request.includeStop() ? "" : output.push(id);
        String matched = output.matchedStop();
        if (matched != null) {
            return new Verdict(text, new End("stop", matched, ""));
        }
        if (stopId) {
            String reason = contains(eosIds, id) ? "" : Integer.toString(id);
            return new Verdict(text, new End("stop", reason, output.finish()));
        }
        if (grammar != null && follows(grammar, s, id)) {
            return new Verdict(text, new End("stop", "", output.finish()));
        }
        if (!mayGoOn(s.outputs(), s.length())) {
            return new Verdict(text, new End("length", "", output.finish()));
        }
        return new Verdict(text, null);
    }

    /** Whether more may follow after so many output ids, and ids in all. */
    boolean mayGoOn(int outputs, int length) {
        return outputs < request.maxTokens() && length < maxModelLen;
    }

    /** Whether the output is complete with this id, so that nothing can follow. */
    private static boolean follows(GrammarCursor grammar, Sequence s, int id) {
        if (!grammar.accept(id)) {
            throw new MillraceException(
                    "MR-GRAMMAR-002",
                    "Token " + id + ", output " + s.outputs()
                            + ", is not allowed by the grammar, or the grammar is too ambiguous to follow. Make it simpler.");
        }
        return grammar.finished();
    }

    /** Stop ids before min_tokens, and the last id of a bad word whose beginning stands at the end of the output. */
    int[] suppressed(Sequence s) {
        boolean early = s.planned() - s.promptLength() < request.minTokens();
        if (!early && request.badWords().isEmpty()) {
            return NONE;
        }
        int[] ids = early ? request.stopIds().clone() : NONE;
        for (int[] word : request.badWords()) {
            if (word.length > 0 && endsWithBeginningOf(s, word)) {
                ids = Arrays.copyOf(ids, ids.length + 1);
                ids[ids.length - 1] = word[word.length - 1];
            }
        }
        return ids;
    }

    private static boolean endsWithBeginningOf(Sequence s, int[] word) {
        int known = word.length - 1;
        if (known > s.outputs()) {
            return false;
        }
        for (int i = 0; i < known; i++) {
            if (s.get(s.length() - known + i) != word[i]) {
                return false;
            }
        }
        return true;
    }

    private static boolean contains(int[] ids, int id) {
        for (int i : ids) {
            if (i == id) {
                return true;
            }
        }
        return false;
    }
}
