package io.millrace.bench;

import io.millrace.worker.model.gguf.GgufFile;
import io.millrace.worker.text.Tokenizer;
import io.millrace.worker.text.gguf.GgufTokenizers;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;
import tools.jackson.databind.node.ObjectNode;

/**
 * The whole server on the device of a library, asked over HTTP: broker, gateway, router and worker with {@code --engine cuda}. It checks texts of a golden model, that a
 * seed gives the same text alone and among others, and that a stream goes on when its worker is killed; then measures. What {@code kernels/gpu-check server} runs.
 */
public final class ServerOnDevice {

    private static final String USAGE =
            "ServerOnDevice LIBRARY GOLDEN.gguf SHAPE WORDS TOKENS KILLED STREAMS:REQUESTS... (SHAPE: a config.json, see bench/shapes)";
    private static final int OTHERS = 16;
    private static final double TEMPERATURE = 0.8;
    private static final String NUMERICS = "cuda-\\d+-(emulated|sm\\d+)-.+";

    /** A worker that was killed is not started again earlier. */
    private static final long BACKOFF_NANOS = 200_000_000;

    private static final int KILL_AFTER_PARTS = 8;
    private static final int TRIES = 3;

    private final ServerPlan plan;
    private final Path dir;
    private final PrintStream out;
    private int passed;
    private int failed;

    private ServerOnDevice(ServerPlan plan, Path dir, PrintStream out) {
        this.plan = plan;
        this.dir = dir;
        this.out = out;
    }

    /** Prints rows of gpu-check's table, a line for each check that failed, and how many did; ends with 1 when one did. @param args as {@link ServerPlan#USAGE} says */
    public static void main(String[] args) throws IOException {
        if (args.length < ServerPlan.ARGUMENTS_MIN) {
            System.err.println(ServerPlan.USAGE);
            System.exit(2);
        }
        Path dir = Files.createTempDirectory("gpu-check");
        boolean passed;
        try {
            passed = run(ServerPlan.of(args), dir, System.out);
        } finally {
            BenchSystem.delete(dir);
        }
        System.exit(passed ? 0 : 1);
    }

    /** True when every check passed. @param dir empty; models of random weights are left in it */
    static boolean run(ServerPlan plan, Path dir, PrintStream out) {
        ServerOnDevice server = new ServerOnDevice(plan, dir, out);
        server.group("golden model", server::golden);
        server.group("random weights", server::random);
        server.group("killed worker", server::killed);
        out.printf("server: %d passed, %d failed%n", server.passed, server.failed);
        return server.failed == 0;
    }

    private void group(String name, Callable<Void> group) {
        check(name, false, group);
    }

    private void check(String name, Callable<Void> check) {
        check(name, true, check);
    }

    @SuppressWarnings("CatchingUnchecked")
    private void check(String name, boolean counts, Callable<Void> check) {
        try {
            check.call();
            passed += counts ? 1 : 0;
        } catch (Exception | AssertionError e) {
            failed++;
            out.println("FAILED server, " + name + ": " + e);
        }
    }

    private ServedFile serve(Path model, String name, String... more) throws IOException, InterruptedException {
        List<String> arguments = new ArrayList<>(List.of("--engine", "cuda"));
        arguments.addAll(List.of(more));
        arguments.addAll(plan.arguments());
        Path folder = Files.createDirectories(dir.resolve(name));
        long began = System.nanoTime();
        ServedFile served = ServedFile.millrace(
                model, folder, Map.of("MILLRACE_CUDA_KERNELS", plan.library().toString()), arguments);
        out.printf(Locale.ROOT, "# %s: ready after %.1f s%n", name, (System.nanoTime() - began) / 1e9);
        return served;
    }

    private Path randomModel() {
        return RandomGguf.servedIn(dir, plan.shape(), WeightMix.BF16);
    }

    private Void golden() throws IOException, InterruptedException {
        JsonNode golden = JsonMapper.shared()
                .readTree(Files.readAllBytes(Path.of(plan.golden().toString().replaceAll("\\.gguf$", ".json"))));
        Tokenizer tokenizer;
        try (GgufFile file = GgufFile.open(plan.golden())) {
            tokenizer = GgufTokenizers.create(plan.golden().toString(), file.metadata());
        }
        try (ServedFile served = serve(plan.golden(), "golden", "--activations", "float");
                ServerCalls calls = new ServerCalls(served)) {
            for (JsonNode prompt : golden.get("prompts")) {
                List<Integer> greedy = ids(prompt.get("greedy"));
                String expected = text(tokenizer, greedy);
                ObjectNode ask = calls.completion(ids(prompt.get("ids")), greedy.size());
                String name = "golden text of " + prompt.get("name").stringValue();
                check(name, () -> equal(expected, calls.text(ServerCalls.COMPLETIONS, ask)));
                check(name + ", streamed", () -> equal(expected, calls.streamed(ServerCalls.COMPLETIONS, ask)));
            }
            JsonNode chat = golden.get("chat");
            ObjectNode ask = calls.chat(chat.get("messages"), 16);
            check("a chat as a stream", () -> {
                JsonNode whole = calls.whole(ServerCalls.CHAT, ask);
                equal(
                        chat.get("ids").size(),
                        whole.path("usage").path("prompt_tokens").intValue());
                return equal(calls.text(ServerCalls.CHAT, ask), calls.streamed(ServerCalls.CHAT, ask));
            });
            check("the engine that is told", () -> engine(calls));
        }
        return null;
    }

    private static List<Integer> ids(JsonNode array) {
        return array.valueStream().map(JsonNode::intValue).toList();
    }

    private static String text(Tokenizer tokenizer, List<Integer> ids) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ids.forEach(id -> bytes.writeBytes(tokenizer.bytes(id)));
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static Void equal(Object expected, Object found) {
        if (!expected.equals(found)) {
            throw new AssertionError("\"" + found + "\" instead of \"" + expected + "\"");
        }
        return null;
    }

    /** It is cuda's, and no step of it has failed. */
    private Void engine(ServerCalls calls) throws IOException, InterruptedException {
        String numerics = calls.get("/v1/models").at("/data/0/numerics_id").stringValue();
        if (!numerics.matches(NUMERICS)) {
            throw new AssertionError("numerics_id " + numerics + " is not of the cuda engine");
        }
        PrometheusText metrics = calls.metrics();
        if (!(metrics.sum("millrace_engine_steps_total") > 0)) {
            throw new AssertionError("no step of the engine is counted");
        }
        equal(0.0, metrics.sum("millrace_engine_steps_failed_total"));
        out.println("# " + numerics + " on " + plan.library().getFileName());
        return null;
    }

    private Void random() throws IOException, InterruptedException {
        try (ServedFile served = serve(randomModel(), "random");
                ServerCalls calls = new ServerCalls(served);
                ExecutorService threads = Executors.newVirtualThreadPerTaskExecutor()) {
            check("a seed alone and among " + OTHERS, () -> {
                ObjectNode ask = calls.completion("Of all that was said", plan.tokens(), TEMPERATURE, 42);
                String alone = calls.streamed(ServerCalls.COMPLETIONS, ask);
                List<Future<String>> all = new ArrayList<>();
                for (int i = 0; i <= OTHERS; i++) {
                    ObjectNode one = i == OTHERS / 2
                            ? ask
                            : calls.completion("Another ".repeat(1 + 3 * i), plan.tokens(), TEMPERATURE, i);
                    all.add(threads.submit(() -> calls.streamed(ServerCalls.COMPLETIONS, one)));
                }
                for (Future<String> one : all) {
                    if (one.get().isEmpty()) {
                        throw new AssertionError("one of the others has no text");
                    }
                }
                return equal(alone, all.get(OTHERS / 2).get());
            });
            for (int[] work : plan.works()) {
                check(work[0] + " streams at a time", () -> measure(served, work[0], work[1]));
            }
            check("steps of the engine", () -> engine(calls));
        }
        return null;
    }

    private Void measure(ServedFile served, int streams, int requests) throws InterruptedException {
        ServeLoad load = new ServeLoad();
        new CommandLine(load)
                .parseArgs(
                        "--streams=" + streams,
                        "--requests=" + requests,
                        "--warm-up=" + streams,
                        "--prompt-words=" + plan.words(),
                        "--max-tokens=" + plan.tokens());
        OpenAiStream server = new OpenAiStream(served.url(), served.model(), null);
        load.warmUp(server, served.url());
        LoadResult result = load.result();
        double seconds = load.run(server, 0, result);
        equal(Map.of(), result.errors());
        equal((long) requests * plan.tokens(), result.tokens());
        out.printf(
                Locale.ROOT,
                "server, %s in bf16, %d requests, %d at a time, %.0f tokens in, %d out\t%.4f\t%.1f\ttokens/s, first token after %.1f ms, 95 %% within %.1f\t%n",
                plan.shape().name(),
                requests,
                streams,
                result.promptTokens(),
                plan.tokens(),
                seconds * 1e3,
                result.tokens() / seconds,
                result.firstMs(50),
                result.firstMs(95));
        return null;
    }

    private Void killed() throws IOException, InterruptedException {
        try (ServedFile served = serve(randomModel(), "processes", "--processes");
                ServerCalls calls = new ServerCalls(served)) {
            ObjectNode ask = calls.completion("What goes on and on", plan.killed(), TEMPERATURE, 7);
            String undisturbed = calls.streamed(ServerCalls.COMPLETIONS, ask);
            check("a stream whose worker is killed", () -> {
                for (int i = 0; i < TRIES; i++) {
                    long[] when = {0};
                    String disturbed = calls.streamed(ServerCalls.COMPLETIONS, ask, parts -> {
                        if (parts == KILL_AFTER_PARTS) {
                            worker(served).destroyForcibly();
                            when[0] = System.nanoTime();
                        }
                    });
                    long after = System.nanoTime() - when[0];
                    equal(undisturbed, disturbed);
                    if (after > BACKOFF_NANOS) {
                        out.printf(
                                Locale.ROOT,
                                "server, worker killed in mid-stream, to the end of its stream\t%.1f\t\t\t%n",
                                after / 1e6);
                        return null;
                    }
                }
                throw new AssertionError(TRIES + " times the answer had ended before its worker was killed");
            });
        }
        return null;
    }

    /** The process that was started last. */
    private static ProcessHandle worker(ServedFile served) {
        return ProcessHandle.of(served.pid())
                .orElseThrow()
                .children()
                .max((a, b) -> Long.compare(a.pid(), b.pid()))
                .orElseThrow();
    }
}
