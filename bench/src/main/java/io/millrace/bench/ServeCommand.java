package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ObjectNode;

/** {@code millrace bench serve}. */
@Command(
        name = "serve",
        description =
                "Load on any OpenAI-compatible server, and on a peer with --peer; or with --file on ours and llama.cpp's, in turn, both on the processor.",
        sortOptions = false)
final class ServeCommand implements Callable<Integer> {

    @Option(
            names = "--url",
            defaultValue = "http://127.0.0.1:8080",
            description = "The server (default ${DEFAULT-VALUE}).")
    @SuppressWarnings("NullAway.Init")
    private String url;

    @Option(names = "--peer", description = "Another server, measured after the first with the same requests.")
    private @Nullable String peer;

    @Option(names = "--model", description = "The model's name at --url.")
    private @Nullable String model;

    @Option(names = "--peer-model", description = "Its name at the peer, where that differs.")
    private @Nullable String peerModel;

    @Option(names = "--api-key", description = "Bearer token.")
    private @Nullable String apiKey;

    @Option(
            names = "--file",
            description = "Instead of --url: a model file that we serve, and the peer of --llama, each in its turn.")
    private @Nullable Path file;

    @Option(
            names = "--llama",
            paramLabel = "FOLDER",
            description = "With llama-server (default: MILLRACE_BENCH_PEER; without, ours alone).")
    private @Nullable Path llama;

    @Option(
            names = "--rounds",
            defaultValue = "5",
            description = "Of each, with --file; each has prompts of its own (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Mixin
    private final ServeLoad load = new ServeLoad();

    @Mixin
    private final BenchOutput output = new BenchOutput();

    /** 0 when every request was answered, by either side; 1 otherwise. */
    @Override
    public Integer call() throws InterruptedException, IOException {
        load.check();
        if (rounds < 1 || rounds > 1000) {
            throw new MillraceException("MR-BENCH-002", "--rounds " + rounds + " must lie in 1..1,000.");
        }
        PrintWriter print = output.print();
        Results results = new Results();
        ObjectNode all = results.object().put("bench", "serve").put("command", output.command());
        load.write(all);
        int failed = 0;
        if (file != null) {
            all.put("file", file.getFileName().toString()).put("rounds", rounds);
            failed = new ServeTurns(load, rounds, print).measure(file, llama(), all);
        } else if (model == null) {
            throw new MillraceException("MR-BENCH-002", "--model names the model at --url; or give a --file to serve.");
        } else {
            ServeRow.head(print);
            failed = measure(url, model, print, results, all.putObject("server"));
            if (peer != null) {
                failed += measure(peer, peerModel == null ? model : peerModel, print, results, all.putObject("peer"));
            }
        }
        output.write("serve", all);
        return failed == 0 ? 0 : 1;
    }

    private @Nullable Path llama() {
        String named = System.getenv().getOrDefault("MILLRACE_BENCH_PEER", "").split(",", 2)[0];
        if (llama != null || named.isBlank()) {
            return llama;
        }
        return Path.of(named.substring(named.indexOf('=') + 1));
    }

    private int measure(String at, String name, PrintWriter print, Results results, ObjectNode into)
            throws InterruptedException {
        OpenAiStream server = OpenAiStream.connectingAnew(at, name, apiKey);
        load.warmUp(server, at);
        LoadResult result = load.result();
        double seconds = load.run(server, 0, result);
        ServeRow.print(print, at, result, seconds);
        into.put("url", at)
                .put("model", name)
                .put("ok", result.ok())
                .put("failed", result.failed())
                .put("prompt_tokens", result.promptTokens())
                .put("cached_tokens", result.cachedTokens())
                .put("seconds", seconds)
                .put("tokens_per_s", result.tokens() / seconds)
                .put("good_requests_per_s", result.good() / seconds);
        into.set("percentiles", results.percentiles(result));
        return result.failed();
    }
}
