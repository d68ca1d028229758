package io.millrace.worker.serving;

import tools.jackson.databind.JsonNode;

/** The words by which a model without a form of its own for tools is told of them: the format "generic". */
final class ToolPrompt {

    /** Begins the message that has a function's result. */
    static final String RESULT = "Result of ";

    private ToolPrompt() {}

    /** Instructions for the system's message. */
    static String text(Iterable<JsonNode> tools, boolean single) {
        StringBuilder text = new StringBuilder("You may call these functions:\n");
        for (JsonNode tool : tools) {
            JsonNode function = tool.path("function");
            text.append(function.isMissingNode() ? tool : function).append('\n');
        }
        text.append("\nTo call a function, answer with nothing but a JSON object of this form:\n")
                .append("{\"name\": \"NAME OF THE FUNCTION\", \"arguments\": {\"NAME\": VALUE}}\n");
        if (!single) {
            text.append("To call several at once, write one such object per line.\n");
        }
        return text.append("The result comes with the next message. If no function is needed, answer in plain text.")
                .toString();
    }

    /** A result as a user's message. */
    static String result(String function, String text) {
        return RESULT + (function.isEmpty() ? "the call" : function) + ":\n" + text;
    }
}
