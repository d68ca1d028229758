package io.millrace.shared.log.kafka;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.testing.TestBroker;
import io.millrace.shared.topic.Topic;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.kafka.common.config.ConfigException;
import org.junit.jupiter.api.Test;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;

class KafkaLogReaderTest {

    private static final long WAIT_S = 20;

    private static final class Collector implements LogReader.Listener {
        final LinkedBlockingQueue<String> records = new LinkedBlockingQueue<>();
        final CountDownLatch ticks = new CountDownLatch(5);

        @Override
        public void onRecord(LogRecord record) {
            records.add(record.topic() + " " + record.key());
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long position) {}

        @Override
        public void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {}

        @Override
        public void onTick() {
            ticks.countDown();
        }
    }

    @Test
    void whileTheAddressDoesNotResolveTasksAndTicksGoOnAndWhatWasAssignedIsReadThen() throws Exception {
        try (TestBroker broker = TestBroker.start()) {
            KafkaSettings settings = broker.settings();
            TopicAdmin.ensure(settings, new TopicPlan(1, 1, 1, Duration.ofMinutes(30)), Duration.ofSeconds(30));
            AtomicBoolean resolves = new AtomicBoolean();
            var collector = new Collector();
            var reader = new KafkaLogReader(settings, "early", collector, closed -> {}, () -> {
                if (!resolves.get()) {
                    throw new ConfigException("No resolvable bootstrap urls given in bootstrap.servers");
                }
                return new DefaultKafkaConsumerFactory<String, byte[]>(settings.consumer("early")).createConsumer();
            });
            try (var log = new KafkaLog(settings)) {
                reader.start();
                reader.assign(Topic.RESPONSES, 0, LogReader.BEGINNING);
                reader.assign(Topic.REQUESTS, 0, LogReader.BEGINNING);
                reader.unassign(Topic.REQUESTS, 0);
                var ran = new CountDownLatch(1);
                reader.execute(ran::countDown);
                assertThat(ran.await(WAIT_S, TimeUnit.SECONDS)).isTrue();
                assertThat(collector.ticks.await(WAIT_S, TimeUnit.SECONDS)).isTrue();
                log.append(Topic.REQUESTS, 0, "not", new byte[1]).get(WAIT_S, TimeUnit.SECONDS);
                log.append(Topic.RESPONSES, 0, "one", new byte[1]).get(WAIT_S, TimeUnit.SECONDS);
                assertThat(collector.records).isEmpty();
                resolves.set(true);
                assertThat(collector.records.poll(WAIT_S, TimeUnit.SECONDS)).isEqualTo("RESPONSES one");
                assertThat(collector.records).isEmpty();
                var later = new CountDownLatch(1);
                reader.executeLater(later::countDown);
                assertThat(later.await(WAIT_S, TimeUnit.SECONDS)).isTrue();
            } finally {
                reader.close();
            }
        }
    }
}
