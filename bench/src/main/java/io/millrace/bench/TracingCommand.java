package io.millrace.bench;

import com.sun.net.httpserver.HttpServer;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
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

    @Mixin
    private final BenchOutput output = new BenchOutput();

    @Override
    public Integer call() throws IOException, InterruptedException {
        PrintWriter print = output.print();
        AtomicLong bytes = new AtomicLong();
        HttpServer sink = sink(bytes);
        List<Double> ratios = new ArrayList<>();
        List<Double> without = new ArrayList<>();
        List<Double> with = new ArrayList<>();
        String endpoint = "http://127.0.0.1:" + sink.getAddress().getPort();
        try (BenchSystem system = BenchSystem.start()) {
            PartsApplication plain = system.add(EnumSet.allOf(Role.class), flags("plain.", ""));
            PartsApplication traced = system.add(EnumSet.allOf(Role.class), flags("traced.", endpoint));
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
        output.write("tracing", all);
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

    private Map<String, Object> flags(String prefix, String endpoint) {
        return Map.of(
                "millrace.kafka.topic-prefix",
                prefix,
                "millrace.kafka.partitions",
                4,
                "millrace.kafka.slots",
                4,
                "millrace.worker.models[0]",
                MODEL + "=" + model,
                "millrace.worker.mock-step",
                stepMs + "ms",
                "millrace.telemetry.otlp-endpoint",
                endpoint);
    }

    private static OpenAiStream server(PartsApplication parts) {
        return new OpenAiStream(BenchSystem.url(parts), MODEL, null);
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
