package io.millrace.standalone.parts;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.TopicAccess;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.standalone.config.WorkerProperties;
import io.millrace.worker.journal.HostedModel;
import io.millrace.worker.journal.WorkerConfig;
import io.millrace.worker.journal.WorkerNode;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** One worker of this process: loads its models while Kafka starts, then joins. */
final class WorkerPart extends StartingPart {

    private final int number;
    private final WorkerProperties properties;
    private final KafkaGate kafka;
    private final ModelOpener opener;
    private final Telemetry telemetry;
    private final MeterRegistry registry;
    private final Consumer<String> progress;
    private final boolean alone;

    private final CompletableFuture<MillraceException> lost = new CompletableFuture<>();
    /** What is there and has to be closed; whoever takes it does so. */
    private final AtomicReference<ModelOpener.@Nullable Opened> opened = new AtomicReference<>();

    private final AtomicReference<@Nullable KafkaLog> log = new AtomicReference<>();
    private final AtomicReference<@Nullable WorkerNode> node = new AtomicReference<>();
    private volatile boolean stopped;

    /**
     * The worker of that number.
     *
     * @param alone this process is a worker and nothing else, so it drains before it stops
     */
    WorkerPart(
            int number,
            WorkerProperties properties,
            KafkaGate kafka,
            ModelOpener opener,
            Telemetry telemetry,
            MeterRegistry registry,
            Consumer<String> progress,
            boolean alone) {
        this.number = number;
        this.properties = properties;
        this.kafka = kafka;
        this.opener = opener;
        this.telemetry = telemetry;
        this.registry = registry;
        this.progress = progress;
        this.alone = alone;
    }

    @Override
    public String name() {
        return properties.count() == 1 ? "worker" : "worker " + (number + 1);
    }

    @Override
    String open() throws InterruptedException {
        WorkerConfig config = properties.node(number);
        ModelOpener.Opened models = opener.open(properties, line -> progress.accept(name() + ": " + line));
        opened.set(models);
        requireWanted();
        models.models().forEach(model -> model.engine().lost().thenAccept(lost::complete));
        KafkaLog kafkaLog =
                new KafkaLog(kafka.await(config.id().isEmpty() ? "worker-" + number : config.id(), TopicAccess.WORKER));
        log.set(kafkaLog);
        requireWanted();
        WorkerNode worker = new WorkerNode(
                config, new MeteredLog(kafkaLog, registry, "worker"), models.models(), telemetry, registry);
        node.set(worker);
        requireWanted();
        worker.start();
        return models.models().stream().map(HostedModel::name).collect(Collectors.joining(", "));
    }

    /** Loading does not end when its thread is interrupted: what it gives to a part that has stopped is closed here. */
    private void requireWanted() throws InterruptedException {
        if (stopped) {
            close(false);
            throw new InterruptedException("the worker was stopped while it started");
        }
    }

    @Override
    public CompletableFuture<MillraceException> lost() {
        return lost;
    }

    /** Those that it serves; none before they are loaded. */
    List<? extends HostedModel> models() {
        ModelOpener.Opened models = opened.get();
        return models == null ? List.of() : models.models();
    }

    @Override
    public boolean isReady() {
        WorkerNode worker = node.get();
        return worker != null && worker.isReady();
    }

    @Override
    void shut() {
        stopped = true;
        close(alone);
    }

    private void close(boolean drains) {
        WorkerNode worker = node.getAndSet(null);
        KafkaLog kafkaLog = log.getAndSet(null);
        ModelOpener.Opened models = opened.getAndSet(null);
        Runnable unload = models == null ? () -> {} : models.close();
        // In this order, and each though the one before fails.
        try (kafkaLog;
                worker) {
            if (worker != null && drains) {
                drain(worker);
            }
        } finally {
            unload.run();
        }
    }

    private void drain(WorkerNode worker) {
        try {
            worker.drain().get(properties.drainGrace().toMillis() + 3_000, TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            org.slf4j.LoggerFactory.getLogger(WorkerPart.class).warn("{} did not drain in time", name());
        }
    }
}
