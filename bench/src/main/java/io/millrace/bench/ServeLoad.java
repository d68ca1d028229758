package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.util.List;
import java.util.SplittableRandom;
import java.util.function.IntFunction;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/** What {@code bench serve} asks of a server: how many requests, how they arrive, how long they are. A mixin. */
final class ServeLoad {

    /** Rounds' prompts differ, so that no server finds one in its cache. */
    private static final long ROUND_SEEDS = 1_000_003;

    private static final int WARM_UP_ROUND = -1;
    private static final List<String> WORDS = List.of(
            "river",
            "stone",
            "seven",
            "window",
            "green",
            "letter",
            "mountain",
            "bread",
            "winter",
            "road",
            "silver",
            "garden",
            "paper",
            "ocean",
            "bridge",
            "lamp",
            "quiet",
            "horse",
            "market",
            "cloud");

    @Option(names = "--rate", defaultValue = "4", description = "Mean arrivals a second (default ${DEFAULT-VALUE}).")
    private double rate;

    @Option(
            names = "--streams",
            defaultValue = "0",
            description =
                    "Instead of --rate: so many at once, each sends its next request when the one before is answered.")
    private int streams;

    @Option(names = "--requests", defaultValue = "100", description = "How many (default ${DEFAULT-VALUE}).")
    private int requests;

    @Option(
            names = "--warm-up",
            defaultValue = "4",
            description = "Requests before it counts, by as many streams (default ${DEFAULT-VALUE}).")
    private int warmUp;

    @Option(
            names = "--prompt-words",
            defaultValue = "64",
            description = "Words of a prompt (default ${DEFAULT-VALUE}).")
    private int promptWords;

    @Option(
            names = "--max-tokens",
            defaultValue = "64",
            description = "Tokens of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = "--ttft-limit-ms",
            defaultValue = "2000",
            description = "Goodput: first token within (default ${DEFAULT-VALUE}).")
    private long ttftLimitMs;

    @Option(
            names = "--inter-token-limit-ms",
            defaultValue = "100",
            description = "Goodput: mean gap within (default ${DEFAULT-VALUE}).")
    private long interTokenLimitMs;

    @Option(
            names = "--patience",
            defaultValue = "300",
            description = "Seconds to wait after the last arrival (default ${DEFAULT-VALUE}).")
    private long patienceS;

    @Option(names = "--seed", defaultValue = "1", description = "Of arrivals and prompts (default ${DEFAULT-VALUE}).")
    private long seed;

    /** MR-BENCH-002 when a number is out of its range. */
    void check() {
        if (!(rate > 0 && rate <= 10_000) || requests < 1 || requests > 1_000_000 || promptWords < 1 || maxTokens < 1) {
            throw new MillraceException(
                    "MR-BENCH-002",
                    "--rate " + rate + " must lie in (0, 10,000], --requests " + requests
                            + " in 1..1,000,000, --prompt-words and --max-tokens at 1 or more.");
        }
        if (streams < 0 || streams > 10_000) {
            throw new MillraceException("MR-BENCH-002", "--streams " + streams + " must lie in 0..10,000.");
        }
    }

    int streams() {
        return streams;
    }

    /** Tokens that a stream may need at most: a word is seldom more than two. */
    int context() {
        return 64 + 2 * promptWords + maxTokens;
    }

    LoadResult result() {
        return new LoadResult(ttftLimitMs, interTokenLimitMs);
    }

    /**
     * Sends what does not count.
     *
     * @param at the server's address, for MR-BENCH-003 when it does not answer
     */
    void warmUp(OpenAiStream server, String at) throws InterruptedException {
        if (warmUp == 0) {
            return;
        }
        StreamTimes first = ask(server, WARM_UP_ROUND, 0);
        if (!first.ok()) {
            throw new MillraceException(
                    "MR-BENCH-003", at + " did not answer the first request (" + first.error() + ").");
        }
        if (warmUp > 1) {
            ClosedLoop.run(warmUp - 1, Math.max(1, streams), result(), i -> ask(server, WARM_UP_ROUND, i + 1));
        }
    }

    /**
     * Sends the requests of a round.
     *
     * @return seconds from the first request to the last answer
     */
    double run(OpenAiStream server, int round, LoadResult into) throws InterruptedException {
        IntFunction<StreamTimes> one = i -> ask(server, round, i);
        return streams > 0
                ? ClosedLoop.run(requests, streams, into, one)
                : OpenLoop.run(requests, rate, seed + round, patienceS, into, one);
    }

    private StreamTimes ask(OpenAiStream server, int round, int number) {
        return server.run(prompt(round, number), maxTokens, number);
    }

    /** Differs from all others from its first words on, so that none is found in a cache of prefixes. */
    String prompt(int round, int number) {
        SplittableRandom random = new SplittableRandom((seed + round * ROUND_SEEDS) * ROUND_SEEDS + number);
        StringBuilder text = new StringBuilder("Story " + number + " has these words:");
        for (int i = 0; i < promptWords; i++) {
            text.append(' ').append(WORDS.get(random.nextInt(WORDS.size())));
        }
        return text.toString();
    }

    void write(ObjectNode into) {
        into.put(streams > 0 ? "streams" : "rate", streams > 0 ? streams : rate)
                .put("requests", requests)
                .put("warm_up", warmUp)
                .put("prompt_words", promptWords)
                .put("max_tokens", maxTokens)
                .put("ttft_limit_ms", ttftLimitMs)
                .put("inter_token_limit_ms", interTokenLimitMs)
                .put("seed", seed);
    }
}
