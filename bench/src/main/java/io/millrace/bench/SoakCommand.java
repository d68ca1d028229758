package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.io.IOException;
import java.io.PrintWriter;
import java.net.URI;
import java.net.http.HttpClient;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.IntFunction;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import tools.jackson.databind.node.ArrayNode;
import tools.jackson.databind.node.ObjectNode;

/**
 * {@code millrace bench soak}: whether a long steady load leaves anything behind. A gateway, a router, a worker with the mock model and a
 * broker in this process; first as many answers as they give, then a share of that for a long time, looked at from time to time.
 */
@Command(
        name = "soak",
        description =
                "A long load at a share of the measured capacity: whether heap, file handles, threads or queues grow.",
        sortOptions = false)
final class SoakCommand implements Callable<Integer> {

    private static final String MODEL = "mock";
    private static final long PATIENCE_S = 60;
    private static final long IDLE_S = 60;
    private static final int KNOWN_IDS = 4_096;

    @Option(names = "--minutes", defaultValue = "60", description = "Of the load (default ${DEFAULT-VALUE}).")
    private double minutes;

    @Option(names = "--share", defaultValue = "0.8", description = "Of the capacity (default ${DEFAULT-VALUE}).")
    private double share;

    @Option(
            names = "--capacity-seconds",
            defaultValue = "30",
            description = "For which the capacity is measured (default ${DEFAULT-VALUE}).")
    private int capacitySeconds;

    @Option(
            names = "--clients",
            defaultValue = "32",
            description = "That ask one after the other meanwhile (default ${DEFAULT-VALUE}).")
    private int clients;

    @Option(names = "--samples", defaultValue = "60", description = "Looks, evenly spread (default ${DEFAULT-VALUE}).")
    private int samples;

    @Option(names = "--max-tokens", defaultValue = "16", description = "Of an answer (default ${DEFAULT-VALUE}).")
    private int maxTokens;

    @Option(
            names = "--step-ms",
            defaultValue = "10",
            description = "What a step of the mock engine takes (default ${DEFAULT-VALUE}).")
    private int stepMs;

    @Option(
            names = "--max-running",
            defaultValue = "16",
            description = "Most requests in a step; they and the step set the capacity (default ${DEFAULT-VALUE}).")
    private int maxRunning;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    private final AtomicInteger numbers = new AtomicInteger();

    @Override
    public Integer call() throws IOException, InterruptedException {
        if (minutes <= 0
                || share <= 0
                || capacitySeconds < 1
                || clients < 1
                || maxRunning < 1
                || samples < SoakVerdict.SAMPLES_MIN) {
            throw new MillraceException(
                    "MR-BENCH-002",
                    "--minutes, --share, --capacity-seconds, --clients and --max-running must be above zero, --samples at least %d."
                            .formatted(SoakVerdict.SAMPLES_MIN));
        }
        try (BenchSystem system = BenchSystem.start()) {
            PartsApplication parts = system.add(EnumSet.allOf(Role.class), flags());
            return measure(BenchSystem.url(parts), system.data());
        }
    }

    private Map<String, Object> flags() {
        return Map.of(
                "millrace.kafka.partitions",
                4,
                "millrace.kafka.slots",
                4,
                "millrace.worker.models[0]",
                MODEL,
                "millrace.worker.engine",
                "mock",
                "millrace.worker.mock-step",
                stepMs + "ms",
                "millrace.worker.max-running",
                maxRunning,
                // So few that they are reached in the first minutes: what is kept on purpose is full then.
                "millrace.router.known-ids-max",
                KNOWN_IDS);
    }

    private Integer measure(String url, Path data) throws InterruptedException {
        PrintWriter print = output.print();
        URI metrics = PrometheusText.at(url);
        var stream = new OpenAiStream(url, MODEL, null);
        IntFunction<StreamTimes> one =
                i -> stream.run("Request " + numbers.incrementAndGet() + " asks for nothing but hashes.", maxTokens, i);
        // The first measures code that is interpreted.
        capacity(one);
        double capacity = capacity(one);
        double rate = share * capacity;
        print.printf("%.1f answers a second at most; %.1f for %.1f minutes%n", capacity, rate, minutes);
        print.printf("%8s %10s %8s %8s  %s%n", "second", "heap MB", "files", "threads", "under way");
        var load = new LoadResult(1_000, 100);
        List<SoakSample> taken = new ArrayList<>();
        try (HttpClient http = HttpClient.newHttpClient()) {
            Thread asking = Thread.ofPlatform().name("load").start(() -> load(rate, load, one));
            long began = System.nanoTime();
            for (int i = 1; i <= samples; i++) {
                long due = began + (long) (minutes * 60e9 * i / samples);
                TimeUnit.NANOSECONDS.sleep(Math.max(0, due - System.nanoTime()));
                taken.add(look(print, (System.nanoTime() - began) / 1_000_000_000, http, metrics, data));
            }
            asking.join();
            SoakSample idle = look(print, (System.nanoTime() - began) / 1_000_000_000, http, metrics, data);
            for (int i = 0; i < IDLE_S && !idle.idle(); i++) {
                TimeUnit.SECONDS.sleep(1);
                idle = look(print, (System.nanoTime() - began) / 1_000_000_000, http, metrics, data);
            }
            return told(print, capacity, rate, load, taken, idle);
        }
    }

    /** Answers a second that so many clients get who ask again as soon as they are answered. */
    private double capacity(IntFunction<StreamTimes> one) throws InterruptedException {
        var answered = new AtomicInteger();
        long began = System.nanoTime();
        long end = began + TimeUnit.SECONDS.toNanos(capacitySeconds);
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < clients; i++) {
            threads.add(Thread.ofPlatform().name("client-" + i).start(() -> {
                while (System.nanoTime() < end) {
                    answered.addAndGet(one.apply(0).ok() ? 1 : 0);
                }
            }));
        }
        for (Thread each : threads) {
            each.join();
        }
        return answered.get() / ((System.nanoTime() - began) / 1e9);
    }

    private void load(double rate, LoadResult into, IntFunction<StreamTimes> one) {
        try {
            OpenLoop.run((int) (rate * minutes * 60), rate, 1, PATIENCE_S, into, one);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    private static SoakSample look(PrintWriter print, long second, HttpClient http, URI metrics, Path data)
            throws InterruptedException {
        SoakSample sample = SoakSample.take(second, http, metrics, data);
        print.printf(
                "%8d %10.1f %8d %8d  %s%n",
                second, sample.heapBytes() / 1048576.0, sample.files(), sample.threads(), sample.underWay());
        print.flush();
        return sample;
    }

    private Integer told(
            PrintWriter print, double capacity, double rate, LoadResult load, List<SoakSample> taken, SoakSample idle) {
        List<String> wrong = SoakVerdict.judge(taken, idle, load.failed());
        Results results = new Results();
        ObjectNode all = results.object()
                .put("bench", "soak")
                .put("minutes", minutes)
                .put("capacity_per_second", capacity)
                .put("share", share)
                .put("rate_per_second", rate)
                .put("max_tokens", maxTokens)
                .put("step_ms", stepMs)
                .put("max_running", maxRunning)
                .put("ok", load.ok())
                .put("failed", load.failed())
                .put("ttft_p50_ms", load.firstMs(50))
                .put("ttft_p99_ms", load.firstMs(99))
                .put("heap_grown_bytes", SoakVerdict.grown(taken, SoakSample::heapBytes))
                .put("files_grown", SoakVerdict.grown(taken, SoakSample::files))
                .put("threads_grown", SoakVerdict.grown(taken, SoakSample::threads))
                .put("blocks_at_idle", idle.gauge(SoakSample.BLOCKS));
        load.errors().forEach(all.putObject("errors")::put);
        ArrayNode rows = all.putArray("samples");
        for (SoakSample each : taken) {
            ObjectNode row = rows.addObject()
                    .put("second", each.second())
                    .put("heap_bytes", each.heapBytes())
                    .put("files", each.files())
                    .put("threads", each.threads());
            each.underWay().forEach(row::put);
        }
        ArrayNode verdict = all.putArray("wrong");
        wrong.forEach(verdict::add);
        all.put("verdict", wrong.isEmpty() ? "flat" : "not flat");
        wrong.forEach(print::println);
        print.printf("%s after %,d answers%n", wrong.isEmpty() ? "Flat" : "Not flat", load.ok());
        output.write("soak", all);
        return wrong.isEmpty() ? 0 : 1;
    }
}
