package io.millrace.worker.text;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The text of one choice, as its ids come: {@link IncrementalDetokenizer}, and stop strings. Text that may be the beginning of a
 * stop string is held back. What {@link #push} has returned after k ids, and the match, are a pure function of those k ids: a
 * resumed choice pushes the ids accepted before, drops what comes back, and goes on. Not thread-safe.
 *
 * <p>The match that ends first counts; of several that end at one character, the longest.
 */
public final class OutputText {

    private final IncrementalDetokenizer detokenizer;
    private final StopMatcher stops;
    private final boolean includeStop;
    private final int minTokens;
    private final StringBuilder held = new StringBuilder();
    private final ReasoningCounter reasoning;
    private String prefix;
    private int tokens;
    private @Nullable String matched;

    /**
     * The ids go on from a prompt: a leading space stays.
     *
     * @param stops empty ones are ignored
     * @param includeStop the matched stop string stays in the text
     * @param form of the text
     * @param minTokens a match that ends within the first so many ids does not count; its text is ordinary text
     */
    public OutputText(Tokenizer tokenizer, List<String> stops, boolean includeStop, OutputForm form, int minTokens) {
        this.detokenizer = new IncrementalDetokenizer(tokenizer, form, false);
        this.reasoning = new ReasoningCounter(form.reasoning(), form.prefix());
        this.prefix = form.prefix();
        this.stops = new StopMatcher(stops);
        this.includeStop = includeStop;
        this.minTokens = minTokens;
    }

    /** What became final with this id; the text up to the stop string if it matched now, and nothing ever after a match. */
    public String push(int id) {
        if (matched != null) {
            return "";
        }
        tokens++;
        String piece = detokenizer.push(id);
        reasoning.push(piece);
        return prefixed(accept(piece, tokens > minTokens));
    }

    /**
     * The end, for another reason than a stop string: what was held back, with U+FFFD for an unfinished character. Nothing after
     * a match.
     */
    public String finish() {
        if (matched != null) {
            return "";
        }
        String text = held + detokenizer.finish();
        held.setLength(0);
        return prefixed(text);
    }

    private String prefixed(String text) {
        String all = prefix + text;
        prefix = "";
        return all;
    }

    /** Ids of the reasoning so far. */
    public int reasoningTokens() {
        return reasoning.count();
    }

    /** The stop string that has matched, or null. */
    public @Nullable String matchedStop() {
        return matched;
    }

    private String accept(String piece, boolean mayStop) {
        if (stops.isEmpty()) {
            return piece;
        }
        for (int i = 0; i < piece.length(); i++) {
            held.append(piece.charAt(i));
            int hit = stops.accept(piece.charAt(i));
            if (hit >= 0 && mayStop) {
                matched = stops.stop(hit);
                return emit(includeStop ? held.length() : held.length() - matched.length());
            }
        }
        return emit(held.length() - stops.pending());
    }

    private String emit(int length) {
        String text = held.substring(0, length);
        held.delete(0, length);
        return text;
    }
}
