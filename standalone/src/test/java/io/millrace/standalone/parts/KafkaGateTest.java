package io.millrace.standalone.parts;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.kafka.TopicAccess;
import io.millrace.standalone.broker.BrokerSettings;
import io.millrace.standalone.broker.EmbeddedBroker;
import io.millrace.standalone.config.KafkaProperties;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.springframework.util.unit.DataSize;

class KafkaGateTest {

    @TempDir
    Path dir;

    @Test
    void afterAFailureTheNextPartTriesAgain() throws Exception {
        int port;
        try (ServerSocket probe = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            port = probe.getLocalPort();
        }
        var properties = new KafkaProperties(
                "127.0.0.1:" + port,
                "gate.",
                Duration.ofSeconds(30),
                DataSize.ofMegabytes(20),
                1,
                1,
                1,
                Duration.ofMinutes(30),
                Duration.ofSeconds(1),
                Map.of("request.timeout.ms", "1000", "default.api.timeout.ms", "1000"));
        var gate = new KafkaGate(properties, CompletableFuture.completedFuture(null));
        assertThatThrownBy(() -> gate.await("early", TopicAccess.WORKER))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-LOG-004"));
        try (var broker = EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), port))) {
            // The patience of one second is short for making topics on a busy machine.
            long end = System.nanoTime() + Duration.ofSeconds(60).toNanos();
            MillraceException last = null;
            String bootstrap = "";
            while (bootstrap.isEmpty() && System.nanoTime() < end) {
                try {
                    bootstrap = gate.await("late", TopicAccess.WORKER).bootstrapServers();
                } catch (MillraceException e) {
                    last = e;
                }
            }
            assertThat(bootstrap).as("last failure: %s", last).isEqualTo(broker.bootstrap());
        }
    }

    @Test
    void aBrokerThatDidNotStartFailsEveryPart() {
        var failed = CompletableFuture.failedFuture(new MillraceException("MR-BROKER-001", "no port"));
        var properties = new KafkaProperties(
                "127.0.0.1:1",
                "gate.",
                Duration.ofSeconds(30),
                DataSize.ofMegabytes(20),
                1,
                1,
                1,
                Duration.ofMinutes(30),
                Duration.ofSeconds(1),
                Map.of());
        var gate = new KafkaGate(properties, failed);
        for (int i = 0; i < 2; i++) {
            assertThatThrownBy(() -> gate.await("part", TopicAccess.WORKER)).hasMessageContaining("no port");
        }
    }
}
