package io.millrace.shared.log.kafka;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.testing.TestBroker;
import io.millrace.shared.topic.Topic;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.common.TopicPartition;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** The log on a real broker. */
class KafkaLogTest {

    private static final long WAIT_S = 20;
    private static final Duration PATIENCE = Duration.ofSeconds(30);
    private static final TopicPlan PLAN = new TopicPlan(2, 2, 1, Duration.ofMinutes(30));

    private static TestBroker broker;

    @BeforeAll
    static void startBroker() {
        broker = TestBroker.start();
    }

    @AfterAll
    static void stopBroker() {
        broker.close();
    }

    private static final class Collector implements LogReader.Listener {
        final LinkedBlockingQueue<LogRecord> records = new LinkedBlockingQueue<>();
        final LinkedBlockingQueue<Long> caughtUp = new LinkedBlockingQueue<>();
        final LinkedBlockingQueue<String> truncated = new LinkedBlockingQueue<>();
        final LinkedBlockingQueue<Thread> ticks = new LinkedBlockingQueue<>(10);

        @Override
        public void onRecord(LogRecord record) {
            records.add(record);
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long position) {
            caughtUp.add(position);
        }

        @Override
        public void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {
            truncated.add(wantedOffset + ">" + restartOffset);
        }

        @Override
        public void onTick() {
            ticks.offer(Thread.currentThread());
        }

        List<String> take(int count) throws InterruptedException {
            List<String> texts = new ArrayList<>();
            while (texts.size() < count) {
                LogRecord record = records.poll(WAIT_S, TimeUnit.SECONDS);
                assertThat(record).as("record %d of %d", texts.size(), count).isNotNull();
                byte[] value = record.value();
                texts.add(record.key() + "=" + (value == null ? null : new String(value, StandardCharsets.UTF_8)));
            }
            return texts;
        }
    }

    private static byte[] bytes(int value) {
        return Integer.toString(value).getBytes(StandardCharsets.UTF_8);
    }

    private static KafkaSettings fresh() {
        KafkaSettings settings = broker.settings();
        TopicAdmin.ensure(settings, PLAN, PATIENCE);
        return settings;
    }

    @Test
    void recordsComeBackInTheOrderOfTheAppendsWithOffsetsKeysAndTombstones() throws Exception {
        try (var log = new KafkaLog(fresh())) {
            var collector = new Collector();
            LogReader reader = log.reader("order", collector);
            reader.assign(Topic.RESPONSES, 1, LogReader.BEGINNING);
            List<CompletableFuture<Long>> acks = IntStream.range(0, 2_000)
                    .mapToObj(i -> log.append(Topic.RESPONSES, 1, "k", bytes(i)))
                    .toList();
            log.append(Topic.RESPONSES, 1, "gone", null);
            log.append(Topic.RESPONSES, 0, "k", bytes(9)).get(WAIT_S, TimeUnit.SECONDS);

            List<String> read = collector.take(2_001);

            assertThat(read.subList(0, 2_000))
                    .isEqualTo(IntStream.range(0, 2_000).mapToObj(i -> "k=" + i).toList());
            assertThat(read.get(2_000)).isEqualTo("gone=null");
            for (int i = 0; i < acks.size(); i++) {
                assertThat(acks.get(i).get(WAIT_S, TimeUnit.SECONDS)).isEqualTo(i);
            }
            assertThat(log.partitions(Topic.RESPONSES)).isEqualTo(2);
            assertThat(collector.ticks.poll(WAIT_S, TimeUnit.SECONDS)).isNotNull();
        }
    }

    @Test
    void aReaderFromTheEndSeesWhatFollowsItsFirstCaughtUpAndTasksRunOnItsThread() throws Exception {
        try (var log = new KafkaLog(fresh())) {
            log.append(Topic.ASSIGNMENTS, 0, "old", bytes(1)).get(WAIT_S, TimeUnit.SECONDS);
            var collector = new Collector();
            LogReader reader = log.reader("end", collector);
            reader.assign(Topic.ASSIGNMENTS, 0, LogReader.END);
            assertThat(collector.caughtUp.poll(WAIT_S, TimeUnit.SECONDS)).isEqualTo(1L);
            log.append(Topic.ASSIGNMENTS, 0, "new", bytes(2));

            assertThat(collector.take(1)).containsExactly("new=2");

            var ran = new CompletableFuture<Thread>();
            reader.execute(() -> ran.complete(Thread.currentThread()));
            assertThat(ran.get(WAIT_S, TimeUnit.SECONDS)).isSameAs(collector.ticks.poll(WAIT_S, TimeUnit.SECONDS));
            reader.assign(Topic.ASSIGNMENTS, 0, 0);
            assertThat(collector.take(2)).containsExactly("old=1", "new=2");
        }
    }

    @Test
    void anOffsetThatRetentionTookIsReportedAndReadingGoesOnAtTheFirstThereIs() throws Exception {
        KafkaSettings settings = fresh();
        try (var log = new KafkaLog(settings);
                Admin admin = Admin.create(Map.<String, Object>copyOf(settings.admin()))) {
            for (int i = 0; i < 10; i++) {
                log.append(Topic.REQUESTS, 0, "k", bytes(i)).get(WAIT_S, TimeUnit.SECONDS);
            }
            var partition = new TopicPartition(settings.name(Topic.REQUESTS), 0);
            admin.deleteRecords(Map.of(partition, RecordsToDelete.beforeOffset(7)))
                    .all()
                    .get(WAIT_S, TimeUnit.SECONDS);
            var collector = new Collector();
            log.reader("truncated", collector).assign(Topic.REQUESTS, 0, 3);

            assertThat(collector.take(3)).containsExactly("k=7", "k=8", "k=9");
            assertThat(collector.truncated.poll()).isEqualTo("3>7");
        }
    }

    @Test
    void aBrokerThatGoesAndComesBackLosesAndReordersNothing() throws Exception {
        try (TestBroker own = TestBroker.start()) {
            KafkaSettings settings = own.settings();
            TopicAdmin.ensure(settings, PLAN, PATIENCE);
            try (var log = new KafkaLog(settings)) {
                var collector = new Collector();
                log.reader("restart", collector).assign(Topic.RESPONSES, 0, LogReader.BEGINNING);
                List<CompletableFuture<Long>> acks = new ArrayList<>();
                for (int i = 0; i < 100; i++) {
                    acks.add(log.append(Topic.RESPONSES, 0, "k", bytes(i)));
                }
                acks.getLast().get(WAIT_S, TimeUnit.SECONDS);
                own.stop();
                for (int i = 100; i < 200; i++) {
                    acks.add(log.append(Topic.RESPONSES, 0, "k", bytes(i)));
                }
                assertThat(acks.getLast()).isNotDone();
                own.resume();
                acks.getLast().get(WAIT_S, TimeUnit.SECONDS);

                assertThat(collector.take(200))
                        .isEqualTo(
                                IntStream.range(0, 200).mapToObj(i -> "k=" + i).toList());
                assertThat(acks).allMatch(CompletableFuture::isDone);
            }
        }
    }

    @Test
    void afterAnAppendThatTimedOutThoseBehindItFailTooAndLaterOnesWorkAgain() throws Exception {
        try (TestBroker own = TestBroker.start()) {
            KafkaSettings settings = own.settings().withDeliveryTimeout(Duration.ofSeconds(3));
            TopicAdmin.ensure(settings, PLAN, PATIENCE);
            try (var log = new KafkaLog(settings)) {
                log.append(Topic.RESPONSES, 0, "k", bytes(0)).get(WAIT_S, TimeUnit.SECONDS);
                own.stop();
                List<CompletableFuture<Long>> lost = IntStream.range(1, 50)
                        .mapToObj(i -> log.append(Topic.RESPONSES, 0, "k", bytes(i)))
                        .toList();
                for (CompletableFuture<Long> each : lost) {
                    assertThatThrownBy(() -> each.get(WAIT_S, TimeUnit.SECONDS))
                            .hasRootCauseInstanceOf(Exception.class)
                            .cause()
                            .isInstanceOfSatisfying(
                                    MillraceException.class,
                                    e -> assertThat(e.code()).isEqualTo("MR-LOG-005"));
                }
                own.resume();
                var collector = new Collector();
                log.reader("after", collector).assign(Topic.RESPONSES, 0, LogReader.BEGINNING);
                long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
                boolean landed = false;
                while (!landed && System.nanoTime() < deadline) {
                    try {
                        log.append(Topic.RESPONSES, 0, "k", bytes(99)).get(WAIT_S, TimeUnit.SECONDS);
                        landed = true;
                    } catch (java.util.concurrent.ExecutionException e) {
                        assertThat(e).hasCauseInstanceOf(MillraceException.class);
                    }
                }
                assertThat(landed).isTrue();
                assertThat(collector.take(2)).containsExactly("k=0", "k=99");
            }
        }
    }

    @Test
    void anAppendReturnsAtOnceAndAReaderWaitsWhileThereIsNoKafkaYet() throws Exception {
        TestBroker own = TestBroker.start();
        try {
            KafkaSettings settings = own.settings();
            TopicAdmin.ensure(settings, PLAN, PATIENCE);
            own.stop();
            try (var log = new KafkaLog(settings)) {
                var collector = new Collector();
                long before = System.nanoTime();
                log.reader("early", collector).assign(Topic.RESPONSES, 0, LogReader.BEGINNING);
                CompletableFuture<Long> ack = log.append(Topic.RESPONSES, 0, "k", bytes(1));
                assertThat(Duration.ofNanos(System.nanoTime() - before)).isLessThan(Duration.ofSeconds(1));
                own.resume();
                assertThat(ack.get(WAIT_S, TimeUnit.SECONDS)).isZero();
                assertThat(collector.take(1)).containsExactly("k=1");
            }
        } finally {
            own.close();
        }
    }

    @Test
    void aRecordOverTheLimitIsRefusedWithBothNumbers() throws Exception {
        try (var log = new KafkaLog(fresh())) {
            assertThatThrownBy(() -> log.append(Topic.REQUESTS, 0, "k", new byte[11 * 1024 * 1024])
                            .get())
                    .cause()
                    .hasMessageContaining("11,534,336")
                    .hasMessageContaining("10,481,664");
            byte[] large = new byte[10_000_000];
            assertThat(log.append(Topic.REQUESTS, 0, "k", large).get(WAIT_S, TimeUnit.SECONDS))
                    .isZero();
        }
    }

    @Test
    void aPartitionThatDoesNotExistIsRefusedAtOnceAndHoldsUpNothing() throws Exception {
        try (var log = new KafkaLog(fresh())) {
            assertThat(log.partitions(Topic.REQUESTS)).isEqualTo(2);
            assertThat(log.append(Topic.REQUESTS, 65_535, "k", bytes(1))).isCompletedExceptionally();
            assertThat(log.append(Topic.REQUESTS, 1, "k", bytes(1)).get(WAIT_S, TimeUnit.SECONDS))
                    .isZero();
        }
    }

    @Test
    void topicsOnWhichTheProtocolWouldNotHoldAreRefused() throws Exception {
        assertRefused("MR-LOG-001", Topic.RESPONSES, 2, Map.of("retention.ms", "60000"), "3,600,000");
        assertRefused("MR-LOG-001", Topic.REQUESTS, 2, Map.of("retention.bytes", "1000000"), "retention.bytes");
        assertRefused("MR-LOG-002", Topic.RESULTS, 3, Map.of("cleanup.policy", "compact,delete"), "results 3");
        assertRefused("MR-LOG-003", Topic.CHECKPOINTS, 2, Map.of("cleanup.policy", "delete"), "compact");
        assertRefused("MR-LOG-003", Topic.REQUESTS, 2, Map.of("max.message.bytes", "1048576"), "10485760");
        assertRefused("MR-LOG-003", Topic.WORKERS, 1, Map.of("message.timestamp.type", "CreateTime"), "LogAppendTime");
    }

    private static void assertRefused(
            String code, Topic topic, int partitions, Map<String, String> wrong, String inMessage) throws Exception {
        KafkaSettings settings = broker.settings();
        try (Admin admin = Admin.create(Map.<String, Object>copyOf(settings.admin()))) {
            Map<String, String> configs = new java.util.HashMap<>(PLAN.settings(topic, 1));
            configs.putAll(wrong);
            admin.createTopics(List.of(new NewTopic(settings.name(topic), partitions, (short) 1).configs(configs)))
                    .all()
                    .get(WAIT_S, TimeUnit.SECONDS);
        }
        assertThatThrownBy(() -> TopicAdmin.ensure(settings, PLAN, PATIENCE))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo(code))
                .hasMessageContaining(inMessage)
                .hasMessageContaining(settings.name(topic));
    }

    @Test
    void withoutKafkaMakingTheTopicsGivesUpAfterItsPatienceAndNamesTheAddress() {
        assertThatThrownBy(() -> TopicAdmin.ensure(KafkaSettings.of("127.0.0.1:1"), PLAN, Duration.ofSeconds(1)))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.code()).isEqualTo("MR-LOG-004"))
                .hasMessageContaining("127.0.0.1:1");
    }
}
