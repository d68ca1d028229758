package io.millrace.worker.text.jinja;

import java.time.LocalDateTime;
import org.jspecify.annotations.Nullable;

/**
 * What a chat template is rendered for. The JSON texts are data: nothing in them is evaluated.
 *
 * @param messages JSON array of objects
 * @param tools JSON array, or null for none
 * @param variables JSON object of further variables (chat_template_kwargs), or null for none
 * @param addGenerationPrompt the text ends with the head of an answer
 * @param continueFinalMessage the text ends inside the last message, for the model to go on
 * @param now what the clock says, local time
 */
public record ChatInput(
        String messages,
        @Nullable String tools,
        @Nullable String variables,
        boolean addGenerationPrompt,
        boolean continueFinalMessage,
        LocalDateTime now) {

    /** Messages alone, with the head of an answer. */
    public static ChatInput of(String messages, LocalDateTime now) {
        return new ChatInput(messages, null, null, true, false, now);
    }
}
