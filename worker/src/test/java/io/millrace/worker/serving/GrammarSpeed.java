package io.millrace.worker.serving;

import io.millrace.shared.proto.OutputGrammar;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.model.TestModels;
import java.util.Arrays;

/** Prints how much slower SmolLM2 decodes under grammars, alternating with free text; run by hand. */
final class GrammarSpeed {

    private static final int TOKENS = 160;
    private static final int ROUNDS = Integer.getInteger("rounds", 5);
    private static final String SCHEMA = """
            {"type":"array","minItems":100,"items":{"type":"object","properties":{"name":{"type":"string"},
             "age":{"type":"integer","minimum":0,"maximum":130},"tags":{"type":"array","items":{"type":"string"}}},
             "required":["name","age","tags"],"additionalProperties":false}}""";

    private GrammarSpeed() {}

    public static void main(String[] args) {
        ModelOptions options = ModelOptions.DEFAULT.withMaxModelLen(512).withKvMemoryBytes(256L << 20);
        try (ServedModel model =
                ModelHost.fromEnvironment().load("smol=" + TestModels.smollm2(), options, ModelProgress.NONE)) {
            Sampling.Builder free = Sampling.newBuilder();
            measure(model, "a schema", free, OutputGrammar.newBuilder().setJsonSchema(SCHEMA));
            measure(model, "any object", free, OutputGrammar.newBuilder().setJsonObject(true));
            measure(model, "a regex", free, OutputGrammar.newBuilder().setRegex("([A-Z][a-z ,]+\\. ){50}"));
        }
    }

    private static void measure(ServedModel model, String name, Sampling.Builder free, OutputGrammar.Builder grammar) {
        Sampling.Builder bound = free.clone().setGrammar(grammar);
        long first = run(model, bound, 1);
        run(model, free, 1);
        double[] plain = new double[ROUNDS];
        double[] slow = new double[ROUNDS];
        for (int i = 0; i < ROUNDS; i++) {
            plain[i] = run(model, free, i) / 1e6;
            slow[i] = run(model, bound, i + 2) / 1e6;
        }
        Arrays.sort(plain);
        Arrays.sort(slow);
        double a = plain[ROUNDS / 2];
        double b = slow[ROUNDS / 2];
        System.out.printf(
                "%-12s free %.2f ms a token, bound %.2f (%+.1f %%), first time %.2f%n",
                name, a, b, 100 * (b / a - 1), first / 1e6);
    }

    /** Nanoseconds a token. */
    private static long run(ServedModel model, Sampling.Builder sampling, long seed) {
        Submit submit = Submit.newBuilder()
                .setPromptText("People of the village, as JSON: ")
                .setDeadlineMs(Long.MAX_VALUE)
                .setN(1)
                .setSeed(seed)
                .setSampling(sampling.clone()
                        .setTemperature(0.8)
                        .setMaxTokens(TOKENS)
                        .setIgnoreEos(true))
                .build();
        long from = System.nanoTime();
        int tokens = Collected.run(model, "k" + seed + System.nanoTime(), submit)
                .ids()
                .size();
        return (System.nanoTime() - from) / tokens;
    }
}
