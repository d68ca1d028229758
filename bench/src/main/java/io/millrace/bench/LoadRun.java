package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.serving.LoadTimes;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelOptions;
import io.millrace.worker.serving.ModelProgress;
import io.millrace.worker.serving.ServedModel;
import java.util.LinkedHashMap;
import java.util.Map;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * One loading of a model, to its first token.
 *
 * @param totalMs from the name of the model to the first token of a chat
 * @param firstTokenMs of that the chat: template, prompt, one step
 * @param partsMs of the loading, by name; some run side by side
 */
record LoadRun(double totalMs, double firstTokenMs, Map<String, Double> partsMs) {

    private static final String PROMPT = "What is the capital of France?";

    /** Loads it, asks it, and closes it. MR-BENCH-010 when it does not answer. */
    static LoadRun of(String spec, ModelOptions options) {
        long began = System.nanoTime();
        try (ServedModel model = ModelHost.fromEnvironment().load(spec, options, ModelProgress.NONE)) {
            long loaded = System.nanoTime();
            StreamTimes answer = new EngineCalls(model).run(PROMPT, 1, 1);
            if (!answer.ok()) {
                throw new MillraceException(
                        "MR-BENCH-010", model.name() + " was loaded, but gave no token: " + answer.error() + ".");
            }
            Map<String, Double> parts = new LinkedHashMap<>();
            for (LoadTimes.Part part : model.loadTimes().parts()) {
                parts.put(part.name(), part.nanos() / 1e6);
            }
            return new LoadRun((loaded - began + answer.firstNanos()) / 1e6, answer.firstNanos() / 1e6, parts);
        }
    }

    static LoadRun read(JsonNode json) {
        Map<String, Double> parts = new LinkedHashMap<>();
        json.path("parts_ms")
                .properties()
                .forEach(part -> parts.put(part.getKey(), part.getValue().asDouble()));
        return new LoadRun(
                json.path("total_ms").asDouble(), json.path("first_token_ms").asDouble(), parts);
    }

    void write(ObjectNode to) {
        to.put("total_ms", rounded(totalMs)).put("first_token_ms", rounded(firstTokenMs));
        ObjectNode parts = to.putObject("parts_ms");
        partsMs.forEach((name, ms) -> parts.put(name, rounded(ms)));
    }

    private static double rounded(double ms) {
        return Math.round(ms * 10) / 10.0;
    }
}
