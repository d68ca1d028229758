package io.millrace.standalone.parts;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.millrace.shared.telemetry.Telemetry;
import io.millrace.standalone.config.KafkaProperties;
import io.millrace.standalone.config.WorkerProperties;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.springframework.boot.context.properties.bind.Binder;
import org.springframework.boot.context.properties.source.MapConfigurationPropertySource;

class WorkerPartTest {

    private static final Duration BOUND = Duration.ofSeconds(20);

    private static <T> T defaults(String prefix, Class<T> type) {
        return new Binder(new MapConfigurationPropertySource(Map.of())).bindOrCreate(prefix, type);
    }

    /** As one that reads weights: no interrupt ends it. */
    private static void load(CountDownLatch loaded) {
        boolean interrupted = false;
        while (loaded.getCount() > 0) {
            try {
                loaded.await();
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        assertThat(interrupted).as("it was told to end").isTrue();
    }

    @Test
    void modelsThatAreLoadedAfterTheWorkerWasStoppedAreClosedAndNothingIsStarted() throws Exception {
        var loading = new CountDownLatch(1);
        var loaded = new CountDownLatch(1);
        var closed = new CountDownLatch(1);
        KafkaGate gate = new KafkaGate(defaults("millrace.kafka", KafkaProperties.class), new CompletableFuture<>());
        WorkerPart part = new WorkerPart(
                0,
                defaults("millrace.worker", WorkerProperties.class),
                gate,
                (properties, progress) -> {
                    loading.countDown();
                    load(loaded);
                    return new ModelOpener.Opened(List.of(), closed::countDown);
                },
                Telemetry.disabled(),
                new SimpleMeterRegistry(),
                line -> {},
                true);
        part.start();
        assertThat(loading.await(BOUND.toSeconds(), TimeUnit.SECONDS)).isTrue();
        part.stop();
        loaded.countDown();
        assertThat(closed.await(BOUND.toSeconds(), TimeUnit.SECONDS)).isTrue();
        assertThat(part.started()).failsWithin(BOUND);
        assertThat(part.models()).isEmpty();
        assertThat(part.isReady()).isFalse();
    }
}
