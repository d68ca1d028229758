package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.Callable;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/** {@code millrace bench serve}. */
@Command(
        name = "serve",
        description =
                "Open-loop load with Poisson arrivals on any OpenAI-compatible server, and on a peer with --peer.",
        sortOptions = false)
final class ServeCommand implements Callable<Integer> {

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

    @Option(
            names = "--url",
            defaultValue = "http://127.0.0.1:8080",
            description = "The server (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String url;

    @Option(names = "--peer", description = "Another server, measured after the first with the same requests.")
    private @Nullable String peer;

    @Option(names = "--model", required = true, description = "The model's name.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--peer-model", description = "Its name at the peer, where that differs.")
    private @Nullable String peerModel;

    @Option(names = "--api-key", description = "Bearer token.")
    private @Nullable String apiKey;

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
            description = "Requests before it counts (default ${DEFAULT-VALUE}).")
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

    @Mixin
    private final BenchOutput output = new BenchOutput();

    /** 0 when every request was answered, 1 otherwise. */
    @Override
    public Integer call() throws InterruptedException {
        if (!(rate > 0 && rate <= 10_000) || requests < 1 || requests > 1_000_000 || promptWords < 1 || maxTokens < 1) {
            throw new MillraceException(
                    "MR-BENCH-002",
                    "--rate " + rate + " must lie in (0, 10,000], --requests " + requests
                            + " in 1..1,000,000, --prompt-words and --max-tokens at 1 or more.");
        }
        if (streams < 0 || streams > 10_000) {
            throw new MillraceException("MR-BENCH-002", "--streams " + streams + " must lie in 0..10,000.");
        }
        PrintWriter print = output.print();
        print.printf(
                "%-32s %6s %6s %9s %9s %9s %9s %9s %9s %8s%n",
                "server",
                "ok",
                "failed",
                "tok/s",
                "goodput/s",
                "ttft p50",
                "ttft p99",
                "itl p50",
                "itl p99",
                "seconds");
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "serve")
                .put(streams > 0 ? "streams" : "rate", streams > 0 ? streams : rate)
                .put("requests", requests)
                .put("prompt_words", promptWords)
                .put("max_tokens", maxTokens)
                .put("ttft_limit_ms", ttftLimitMs)
                .put("inter_token_limit_ms", interTokenLimitMs)
                .put("seed", seed);
        int failed = measure(url, model, print, results, all.putObject("server"));
        if (peer != null) {
            measure(peer, peerModel == null ? model : peerModel, print, results, all.putObject("peer"));
        }
        output.write("serve", all);
        return failed == 0 ? 0 : 1;
    }

    private int measure(String at, String name, PrintWriter print, Results results, ObjectNode into)
            throws InterruptedException {
        OpenAiStream server = new OpenAiStream(at, name, apiKey);
        SplittableRandom random = new SplittableRandom(seed);
        List<String> prompts = new ArrayList<>();
        for (int i = 0; i < requests + warmUp; i++) {
            prompts.add(prompt(random, i));
        }
        for (int i = 0; i < warmUp; i++) {
            StreamTimes first = server.run(prompts.get(requests + i), maxTokens, i);
            if (!first.ok() && i == 0) {
                throw new MillraceException(
                        "MR-BENCH-003",
                        at + " did not answer the first request (" + first.error() + ") for model " + name + ".");
            }
        }
        LoadResult load = new LoadResult(ttftLimitMs, interTokenLimitMs);
        IntFunction<StreamTimes> one = i -> server.run(prompts.get(i), maxTokens, i);
        double seconds = streams > 0
                ? ClosedLoop.run(requests, streams, load, one)
                : OpenLoop.run(requests, rate, seed, patienceS, load, one);
        print.printf(
                "%-32s %6d %6d %9.1f %9.2f %9.1f %9.1f %9.2f %9.2f %8.1f%n",
                at,
                load.ok(),
                load.failed(),
                load.tokens() / seconds,
                load.good() / seconds,
                load.firstMs(50),
                load.firstMs(99),
                load.gapMs(50),
                load.gapMs(99),
                seconds);
        load.errors().forEach((error, count) -> print.println("  " + count + " x " + error));
        into.put("url", at)
                .put("model", name)
                .put("ok", load.ok())
                .put("failed", load.failed())
                .put("seconds", seconds)
                .put("tokens_per_s", load.tokens() / seconds)
                .put("good_requests_per_s", load.good() / seconds);
        into.set("percentiles", results.percentiles(load));
        return load.failed();
    }

    private String prompt(SplittableRandom random, int number) {
        StringBuilder text = new StringBuilder("Tell a story, number " + number + ", with these words:");
        for (int i = 0; i < promptWords; i++) {
            text.append(' ').append(WORDS.get(random.nextInt(WORDS.size())));
        }
        return text.toString();
    }
}
