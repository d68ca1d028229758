package io.millrace.gateway.api;

import io.millrace.shared.proto.Submit;
import java.util.List;

/**
 * A call as its body says, before time, ids and cluster are known.
 *
 * @param model as the client names it
 * @param submit what all its prompts share
 * @param prompts at least one
 * @param seeded the client gave a seed
 */
record Draft(String model, Submit submit, List<Prompt> prompts, boolean seeded) {

    /**
     * One prompt.
     *
     * @param input a Submit with only the input set
     * @param texts its texts in order, for placement by prefix; empty for token ids
     * @param units rough length: tokens where they are known, otherwise bytes / 4
     */
    record Prompt(Submit input, List<Text> texts, long units) {}

    /** A text of a prompt and the role that says it; an empty role for a plain prompt. */
    record Text(String role, String text) {}

    boolean stream() {
        return submit.getShape().getStream();
    }
}
