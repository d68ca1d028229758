package io.millrace.standalone.broker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class EmbeddedBrokerTest {

    @TempDir
    Path dir;

    @Test
    void recordsSurviveARestart() throws Exception {
        Path data = dir.resolve("kafka");
        try (var broker = EmbeddedBroker.start(BrokerSettings.local(data, 0))) {
            create(broker.bootstrap(), "tale");
            append(broker.bootstrap(), "tale", "one");
            assertThatThrownBy(() -> EmbeddedBroker.start(BrokerSettings.local(data, 0)))
                    .isInstanceOfSatisfying(
                            MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-BROKER-002"));
        }
        try (var broker = EmbeddedBroker.start(BrokerSettings.local(data, 0))) {
            append(broker.bootstrap(), "tale", "two");

            assertThat(read(broker.bootstrap(), "tale", 2)).containsExactly("one", "two");
        }
    }

    @Test
    void recordsSurviveKillMinus9() throws Exception {
        Path data = dir.resolve("kafka");
        Process first = BrokerProcess.start(data);
        try {
            String bootstrap = BrokerProcess.bootstrap(first);
            create(bootstrap, "tale");
            append(bootstrap, "tale", "one");
        } finally {
            first.destroyForcibly();
        }
        assertThat(first.waitFor(10, TimeUnit.SECONDS)).isTrue();
        try (var broker = EmbeddedBroker.start(BrokerSettings.local(data, 0))) {
            append(broker.bootstrap(), "tale", "two");

            assertThat(read(broker.bootstrap(), "tale", 2)).containsExactly("one", "two");
        }
    }

    @Test
    void aTakenPortIsACodedError() throws Exception {
        try (ServerSocket taken = new ServerSocket(0, 1, InetAddress.getByName("127.0.0.1"))) {
            assertThatThrownBy(() ->
                            EmbeddedBroker.start(BrokerSettings.local(dir.resolve("kafka"), taken.getLocalPort())))
                    .isInstanceOfSatisfying(MillraceException.class, e -> {
                        assertThat(e.code()).isEqualTo("MR-BROKER-001");
                        assertThat(e).hasMessageContaining(String.valueOf(taken.getLocalPort()));
                    });
        }
    }

    @Test
    void aDiskWithTooLittleSpaceIsACodedErrorWithBothNumbers() {
        var settings =
                new BrokerSettings(dir.resolve("kafka"), "127.0.0.1", 0, "", Long.MAX_VALUE, BrokerCluster.ALONE);
        assertThatThrownBy(() -> EmbeddedBroker.start(settings))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-BROKER-003"))
                .hasMessageContaining("MiB free");
    }

    @Test
    void aFolderWithOtherFilesIsLeftAlone() throws Exception {
        Path data = Files.createDirectory(dir.resolve("kafka"));
        Path mine = Files.writeString(data.resolve("letter.txt"), "mine", StandardCharsets.UTF_8);

        assertThatThrownBy(() -> EmbeddedBroker.start(BrokerSettings.local(data, 0)))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-BROKER-004"));
        assertThat(mine).exists();
    }

    private static void create(String bootstrap, String topic) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get(20, TimeUnit.SECONDS);
        }
    }

    private static void append(String bootstrap, String topic, String value) throws Exception {
        Map<String, Object> config = Map.of("bootstrap.servers", bootstrap, "acks", "all");
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            producer.send(new ProducerRecord<>(topic, value)).get(20, TimeUnit.SECONDS);
        }
    }

    private static List<String> read(String bootstrap, String topic, int count) {
        List<String> values = new ArrayList<>();
        long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        try (var consumer = new KafkaConsumer<>(
                Map.<String, Object>of("bootstrap.servers", bootstrap),
                new StringDeserializer(),
                new StringDeserializer())) {
            var partition = new TopicPartition(topic, 0);
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            while (values.size() < count && System.nanoTime() < end) {
                consumer.poll(Duration.ofMillis(100)).forEach(r -> values.add(r.value()));
            }
        }
        return values;
    }
}
