package io.millrace.worker.journal;

import io.micrometer.core.instrument.Counter;
import io.micrometer.core.instrument.DistributionSummary;
import io.micrometer.core.instrument.FunctionCounter;
import io.micrometer.core.instrument.Gauge;
import io.micrometer.core.instrument.MeterRegistry;
import io.micrometer.core.instrument.Tags;
import io.micrometer.core.instrument.Timer;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.engine.EngineLoad;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.engine.StepReport;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import java.util.function.ToDoubleFunction;

/**
 * Measures of one model on one worker, under the names that users of vLLM know (docs/metrics.md has the list); those that the
 * gateway measures for the client too have {@code worker} in their name here. Tags: {@code model_name}, {@code worker}. Thread-safe.
 */
final class WorkerMetrics implements StepListener {

    private static final Duration[] LATENCY =
            buckets(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000);
    private static final Duration[] TOKEN = buckets(1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 500, 1_000, 5_000);

    private static final Duration[] STEP = buckets(1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000);

    private final MeterRegistry registry;
    private final Tags tags;
    private final Timer firstToken;
    private final Timer betweenTokens;
    private final Timer queue;
    private final Timer prefill;
    private final Timer decode;
    private final Timer plan;
    private final DistributionSummary sequences;
    private final DistributionSummary stepTokens;
    private final Counter failedSteps;
    private final Counter promptTokens;
    private final Counter generationTokens;

    WorkerMetrics(MeterRegistry registry, String worker, HostedModel model) {
        this.registry = registry;
        this.tags = Tags.of("model_name", model.name(), "worker", worker);
        this.firstToken = timer("millrace.worker.time.to.first.token", "Assignment read to first token", LATENCY);
        this.betweenTokens = timer("millrace.worker.inter.token.latency", "Between two tokens of a choice", TOKEN);
        this.queue = timer("millrace.worker.queue.time", "Assignment read to begin of prefill", LATENCY);
        this.prefill = timer("millrace.request.prefill.time", "Begin of prefill to first token", LATENCY);
        this.decode = timer("millrace.request.decode.time", "First token to end", LATENCY);
        this.promptTokens = counter("millrace.worker.prompt.tokens", "Prompt tokens of started attempts");
        this.generationTokens = counter("millrace.worker.generation.tokens", "Tokens generated");
        this.plan = timer("millrace.engine.step.plan", "Planning a step", STEP);
        this.sequences =
                summary("millrace.engine.step.sequences", "Sequences in a step", 1, 2, 4, 8, 16, 32, 64, 128, 256);
        this.stepTokens =
                summary("millrace.engine.step.tokens", "Token rows of a step", 1, 4, 16, 64, 256, 1_024, 4_096, 16_384);
        this.failedSteps = counter("millrace.engine.steps.failed", "Steps whose backend failed");
        Engine engine = model.engine();
        gauge("millrace.kv.cache.blocks.used", "KV blocks that sequences hold", engine, WorkerMetrics::used);
        gauge("millrace.kv.cache.blocks.capacity", "KV blocks there are", engine, EngineLoad::kvBlocksTotal);
        gauge("millrace.num.requests.running", "Sequences in the batch", engine, EngineLoad::running);
        gauge("millrace.num.requests.waiting", "Requests that wait in the engine", engine, EngineLoad::waiting);
        gauge("millrace.kv.cache.usage.perc", "KV blocks in use, 0 to 1", engine, WorkerMetrics::usage);
        function(
                "millrace.prefix.cache.queries",
                "Prompt tokens looked up in the prefix cache",
                engine,
                EngineLoad::prefixQueries);
        function(
                "millrace.prefix.cache.hits",
                "Prompt tokens found in the prefix cache",
                engine,
                EngineLoad::prefixHits);
        function("millrace.num.preemptions", "Sequences preempted", engine, EngineLoad::preemptions);
        host(engine);
        function("millrace.engine.steps", "Steps of the engine", engine, EngineLoad::steps);
    }

    private void host(Engine engine) {
        function(
                "millrace.kv.cache.blocks.swapped.out",
                "KV blocks copied to the host's pool",
                engine,
                load -> load.host().swappedOut());
        function(
                "millrace.kv.cache.blocks.swapped.in",
                "KV blocks copied back from the host's pool",
                engine,
                load -> load.host().swappedIn());
        gauge(
                "millrace.kv.host.blocks.used",
                "Blocks of the host's pool that preempted sequences hold",
                engine,
                load -> load.host().used());
        gauge(
                "millrace.kv.host.blocks.capacity",
                "Blocks of the host's pool",
                engine,
                load -> load.host().blocks());
        Gauge.builder(
                        "millrace.kv.host.block.time",
                        engine,
                        e -> e.load().host().blockSeconds())
                .description("What a block takes to the host's pool and back, as measured when the model was loaded")
                .baseUnit("seconds")
                .tags(tags)
                .register(registry);
        function(
                "millrace.engine.copied.rows",
                "Rows of logits copied from a device to the host",
                engine,
                load -> load.host().copiedRows());
    }

    private static Duration[] buckets(int... ms) {
        Duration[] all = new Duration[ms.length];
        for (int i = 0; i < ms.length; i++) {
            all[i] = Duration.ofMillis(ms[i]);
        }
        return all;
    }

    private static double used(EngineLoad load) {
        return load.kvBlocksTotal() - load.kvBlocksFree();
    }

    private DistributionSummary summary(String name, String description, double... buckets) {
        return DistributionSummary.builder(name)
                .description(description)
                .tags(tags)
                .serviceLevelObjectives(buckets)
                .register(registry);
    }

    @Override
    public void onStep(StepReport report) {
        String phase = report.prefillTokens() == 0 ? "decode" : report.decodeRows() == 0 ? "prefill" : "mixed";
        Timer.builder("millrace.engine.step.duration")
                .description("A step's model call, by what was in it: prefill, decode or mixed")
                .tags(tags.and("phase", phase))
                .serviceLevelObjectives(STEP)
                .register(registry)
                .record(report.durationNanos(), TimeUnit.NANOSECONDS);
        plan.record(report.planNanos(), TimeUnit.NANOSECONDS);
        sequences.record(report.sequences());
        stepTokens.record(report.decodeRows() + report.prefillTokens());
        if (report.failed()) {
            failedSteps.increment();
        }
    }

    private static double usage(EngineLoad load) {
        return load.kvBlocksTotal() == 0 ? 0 : 1 - (double) load.kvBlocksFree() / load.kvBlocksTotal();
    }

    private Timer timer(String name, String description, Duration[] buckets) {
        return Timer.builder(name)
                .description(description)
                .tags(tags)
                .serviceLevelObjectives(buckets)
                .register(registry);
    }

    private Counter counter(String name, String description) {
        return Counter.builder(name).description(description).tags(tags).register(registry);
    }

    private void gauge(String name, String description, Engine engine, ToDoubleFunction<EngineLoad> value) {
        Gauge.builder(name, engine, e -> value.applyAsDouble(e.load()))
                .description(description)
                .tags(tags)
                .register(registry);
    }

    private void function(String name, String description, Engine engine, ToDoubleFunction<EngineLoad> value) {
        FunctionCounter.builder(name, engine, e -> value.applyAsDouble(e.load()))
                .description(description)
                .tags(tags)
                .register(registry);
    }

    void started(int prompt) {
        promptTokens.increment(prompt);
    }

    void scheduled(long queuedNanos) {
        queue.record(Duration.ofNanos(queuedNanos));
    }

    void first(long sinceReceivedNanos, long sinceScheduledNanos) {
        firstToken.record(Duration.ofNanos(sinceReceivedNanos));
        prefill.record(Duration.ofNanos(sinceScheduledNanos));
    }

    /** New tokens of a choice, that long after its last ones; {@code gapNanos} 0 for its first. */
    void tokens(int count, long gapNanos) {
        generationTokens.increment(count);
        if (gapNanos > 0) {
            for (int i = 0; i < count; i++) {
                betweenTokens.record(Duration.ofNanos(gapNanos / count));
            }
        }
    }

    void ended(long decodeNanos) {
        decode.record(Duration.ofNanos(decodeNanos));
    }

    /** An attempt is over: {@code finished}, {@code failed}, {@code yielded}, {@code refused} or {@code cancelled}. */
    void outcome(String outcome) {
        Counter.builder("millrace.worker.attempts")
                .description("Attempts that are over, by outcome")
                .tags(tags.and("outcome", outcome))
                .register(registry)
                .increment();
    }
}
