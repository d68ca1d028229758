package io.millrace.worker.text;

import io.millrace.shared.output.ReasoningFormat;
import java.util.Set;

/**
 * How ids become text.
 *
 * @param skipSpecial control tokens give no text
 * @param spaceSpecial a space stands between a control token that gives text and its neighbours, as transformers has it
 * @param shown control tokens that give text all the same, because a reader of the text needs them
 * @param prefix stands before all text: what the prompt ended with that belongs to the output
 * @param reasoning how reasoning is told from the rest, to be counted
 */
public record OutputForm(
        boolean skipSpecial, boolean spaceSpecial, Set<Integer> shown, String prefix, ReasoningFormat reasoning) {

    public OutputForm {
        shown = Set.copyOf(shown);
    }

    /** Nothing but text. */
    public static OutputForm plain(boolean skipSpecial) {
        return new OutputForm(skipSpecial, false, Set.of(), "", ReasoningFormat.NONE);
    }

    /** Whether spaces stand around the text of that id. */
    boolean isApart(Tokenizer tokenizer, int id) {
        return spaceSpecial && !skipSpecial && tokenizer.isControl(id);
    }

    /** Whether the id gives text. */
    boolean isShown(Tokenizer tokenizer, int id) {
        return !skipSpecial || !tokenizer.isControl(id) || shown.contains(id);
    }
}
