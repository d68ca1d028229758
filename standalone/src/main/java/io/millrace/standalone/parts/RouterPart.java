package io.millrace.standalone.parts;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.router.RouterProperties;
import io.millrace.router.node.RouterNode;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.TopicAccess;
import io.millrace.shared.telemetry.Telemetry;
import java.time.Duration;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import org.slf4j.LoggerFactory;

/** The router of this process. */
final class RouterPart extends StartingPart {

    private static final Duration LEAVE_PATIENCE = Duration.ofMillis(500);

    private final RouterProperties properties;
    private final Duration deadlineMax;
    private final KafkaGate kafka;
    private final Telemetry telemetry;
    private final MeterRegistry registry;

    private volatile @Nullable KafkaLog log;
    private volatile @Nullable RouterNode node;

    RouterPart(
            RouterProperties properties,
            Duration deadlineMax,
            KafkaGate kafka,
            Telemetry telemetry,
            MeterRegistry registry) {
        this.properties = properties;
        this.deadlineMax = deadlineMax;
        this.kafka = kafka;
        this.telemetry = telemetry;
        this.registry = registry;
    }

    @Override
    public String name() {
        return "router";
    }

    @Override
    String open() throws InterruptedException {
        KafkaLog kafkaLog = new KafkaLog(kafka.await("router", TopicAccess.ROUTER));
        log = kafkaLog;
        RouterNode router = new RouterNode(
                properties, deadlineMax, new MeteredLog(kafkaLog, registry, "router"), telemetry, registry);
        node = router;
        router.start();
        try {
            router.ready().get();
        } catch (ExecutionException e) {
            throw new CompletionException(e.getCause());
        }
        return router.node();
    }

    @Override
    public boolean isReady() {
        RouterNode router = node;
        return router != null && router.ready().isDone();
    }

    @Override
    void shut() {
        RouterNode router = node;
        KafkaLog kafkaLog = log;
        if (router != null) {
            leave(router);
            router.close();
        }
        if (kafkaLog != null) {
            kafkaLog.close();
        }
    }

    private static void leave(RouterNode router) {
        try {
            router.leave().get(LEAVE_PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } catch (ExecutionException | TimeoutException e) {
            LoggerFactory.getLogger(RouterPart.class).debug("nobody heard the router leave: {}", e.toString());
        }
    }
}
