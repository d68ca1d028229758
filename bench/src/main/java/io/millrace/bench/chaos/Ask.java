package io.millrace.bench.chaos;

import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * One text completion that is asked for.
 *
 * @param number of the question: two with one number are the same question
 */
record Ask(int number, String prompt, int tokens, double temperature, long seed, boolean penalties) {

    private static final JsonMapper JSON = new JsonMapper();

    /** The body of its request. */
    String body(String model) {
        ObjectNode body = JSON.createObjectNode()
                .put("model", model)
                .put("prompt", prompt)
                .put("stream", true)
                .put("max_tokens", tokens)
                .put("temperature", temperature)
                .put("seed", seed)
                .put("ignore_eos", true);
        if (penalties) {
            body.put("frequency_penalty", 0.4).put("presence_penalty", 0.2);
        }
        body.putObject("stream_options").put("include_usage", true);
        return body.toString();
    }
}
