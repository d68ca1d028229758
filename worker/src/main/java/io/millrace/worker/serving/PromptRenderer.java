package io.millrace.worker.serving;

import io.millrace.shared.proto.ChatInput;

/** Chat messages to the text of a prompt. Thread-safe. */
interface PromptRenderer {

    /**
     * The prompt, with the special tokens that the template writes.
     *
     * @param createdMs the request's own time, for templates that print a date
     * @throws Refusal when the template refuses the messages
     */
    String render(ChatInput chat, long createdMs);
}
