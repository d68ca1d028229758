package io.millrace.bench;

import com.sun.net.httpserver.HttpServer;
import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench tracing}: tokens a second of the whole path with every request traced, against the same without tracing. Both
 * systems stand in this process, serve the same requests, and take turns; a ratio is that of two rounds side by side.
 */
@Command(
        name = "tracing",
        description = "What tracing costs: tokens a second with every request traced, against without.",
        sortOptions = false)
final class TracingCommand implements Callable<Integer> {

    private static final String MODEL = "alpha";
    private static final int WARM_UP = 3;

    @Option(names = "--streams", defaultValue = "16", description = "At one time (default ${DEFAULT-VALUE}).")
    private int streams;

    @Option(names = "--rounds", defaultValue = "12", description = "Of each, at most (default ${DEFAULT-VALUE}).")
    private int rounds;

    @Option(
            names = "--seconds",
            defaultValue = "30",
            description = "After which no further pair of rounds begins (default ${DEFAULT-VALUE}).")
    private int seconds;

    @Option(
            names = "--requests",
            defaultValue = "2",
            description = "Of each stream in a round (default ${DEFAULT-VALUE}).")
    private int requests;

    @Option(names = "--max-tokens", defaultValue = "128", description = "Of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = "--step-ms",
            defaultValue = "2",
            description = "What a step of the mock engine takes (default ${DEFAULT-VALUE}).")
    private int stepMs;

    @Option(
            names = "--model",
            defaultValue = "mock",
            description = "What is served: a real model's file, folder or name instead of the mock.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--out", paramLabel = "DIR", description = "Where the JSON goes (default bench/results).")
    private @Nullable Path out;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    @Spec
    @SuppressWarnings("NullAway.Init")
    private CommandSpec spec;

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter print = spec.commandLine().getOut();
        AtomicLong bytes = new AtomicLong();
        HttpServer sink = sink(bytes);
        Path data = Files.createTempDirectory("millrace-bench");
        List<Double> ratios = new ArrayList<>();
        List<Double> without = new ArrayList<>();
        List<Double> with = new ArrayList<>();
        String endpoint = "http://127.0.0.1:" + sink.getAddress().getPort();
        try (EmbeddedBroker broker = EmbeddedBroker.start(BrokerSettings.local(data.resolve("kafka"), 0));
                PartsApplication plain = parts(broker, "plain.", "");
                PartsApplication traced = parts(broker, "traced.", endpoint)) {
            OpenAiStream one = server(plain);
            OpenAiStream other = server(traced);
            for (int i = 0; i < WARM_UP; i++) {
                round(one);
                round(other);
            }
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds);
            print.printf("%6s %14s %14s %8s%n", "round", "off tok/s", "on tok/s", "ratio");
            for (int i = 0; i < rounds && (i == 0 || System.nanoTime() < end); i++) {
                // The one that is measured first changes, so that a drift of the machine falls on both.
                double first = round(i % 2 == 0 ? one : other);
                double second = round(i % 2 == 0 ? other : one);
                without.add(i % 2 == 0 ? first : second);
                with.add(i % 2 == 0 ? second : first);
                ratios.add(with.getLast() / without.getLast());
                print.printf("%6d %14.1f %14.1f %8.4f%n", i + 1, without.getLast(), with.getLast(), ratios.getLast());
            }
        } finally {
            sink.stop(0);
            LogCommand.delete(data);
        }
        double ratio = median(ratios);
        print.printf(
                "%nTracing every request: ratio %.4f, so %.2f %% of the tokens a second (median of %d pairs of rounds, half of them between %.4f and %.4f); %,d bytes of spans.%n",
                ratio, 100 * (1 - ratio), ratios.size(), quantile(ratios, 0.25), quantile(ratios, 0.75), bytes.get());
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "tracing")
                .put("model", model)
                .put("streams", streams)
                .put("requests_per_stream", requests)
                .put("max_tokens", maxTokens)
                .put("step_ms", stepMs)
                .put("off_tokens_per_s", median(without))
                .put("on_tokens_per_s", median(with))
                .put("pairs", ratios.size())
                .put("ratio", ratio)
                .put("ratio_p25", quantile(ratios, 0.25))
                .put("ratio_p75", quantile(ratios, 0.75));
        print.println("Written to " + results.write(out == null ? Results.defaultFolder() : out, "tracing", all));
        return 0;
    }

    private static double median(List<Double> values) {
        return quantile(values, 0.5);
    }

    /** Between the two nearest values, by their distance. */
    private static double quantile(List<Double> values, double share) {
        List<Double> sorted = values.stream().sorted().toList();
        double at = share * (sorted.size() - 1);
        int below = (int) at;
        double above = sorted.get(Math.min(below + 1, sorted.size() - 1));
        return sorted.get(below) + (at - below) * (above - sorted.get(below));
    }

    /** Takes spans as a collector on the same machine would, and does nothing with them. */
    private static HttpServer sink(AtomicLong bytes) throws IOException {
        HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        server.createContext("/", exchange -> {
            bytes.addAndGet(exchange.getRequestBody().readAllBytes().length);
            exchange.sendResponseHeaders(200, -1);
            exchange.close();
        });
        server.start();
        return server;
    }

    private PartsApplication parts(EmbeddedBroker broker, String prefix, String endpoint) {
        Map<String, Object> flags = new HashMap<>();
        flags.put("server.port", 0);
        flags.put("millrace.kafka.bootstrap-servers", broker.bootstrap());
        flags.put("millrace.kafka.topic-prefix", prefix);
        flags.put("millrace.kafka.partitions", 4);
        flags.put("millrace.kafka.slots", 4);
        flags.put("millrace.worker.models[0]", MODEL + "=" + model);
        flags.put("millrace.worker.mock-step", stepMs + "ms");
        flags.put("millrace.telemetry.otlp-endpoint", endpoint);
        PartsApplication parts = PartsApplication.start(
                EnumSet.allOf(Role.class), flags, Map.of(), CompletableFuture.completedFuture(null), line -> {});
        for (Part part : parts.parts()) {
            part.started().join();
        }
        return parts;
    }

    private static OpenAiStream server(PartsApplication parts) {
        return new OpenAiStream("http://127.0.0.1:" + parts.port(), MODEL, null);
    }

    /** Tokens a second of all streams together. */
    private double round(OpenAiStream server) throws InterruptedException {
        AtomicLong tokens = new AtomicLong();
        long began = System.nanoTime();
        try (var threads = Executors.newVirtualThreadPerTaskExecutor()) {
            for (int s = 0; s < streams; s++) {
                int stream = s;
                threads.execute(() -> {
                    for (int i = 0; i < requests; i++) {
                        tokens.addAndGet(server.run("Stream " + stream + " asks again, " + i, maxTokens, i)
                                .tokens());
                    }
                });
            }
        }
        return tokens.get() * 1e9 / (System.nanoTime() - began);
    }
}
