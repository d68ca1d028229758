package io.millrace.shared.log.kafka;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.testing.TestBroker;
import io.millrace.shared.topic.Topic;
import java.lang.management.ManagementFactory;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.time.Duration;
import java.util.OptionalLong;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BiFunction;
import javax.management.ObjectName;
import org.apache.kafka.clients.consumer.Consumer;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.common.config.ConfigException;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.springframework.kafka.core.DefaultKafkaConsumerFactory;

class KafkaLogReaderTest {

    private static final long WAIT_S = 20;

    private static final class Collector implements LogReader.Listener {
        final LinkedBlockingQueue<String> records = new LinkedBlockingQueue<>();
        final LinkedBlockingQueue<String> events = new LinkedBlockingQueue<>();
        final CountDownLatch ticks = new CountDownLatch(5);
        /** Set and read on the reader's thread: what is reported is of the last assignment. */
        private boolean reading;

        /** Reader that is to leave the partition at the next record. */
        private @Nullable LogReader only;

        @Override
        public void onRecord(LogRecord record) {
            records.add(record.topic() + " " + record.key());
            LogReader of = only;
            if (of != null) {
                reading = false;
                of.unassign(Topic.REQUESTS, 0);
            }
            events.add(record.key());
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long position) {
            if (reading) {
                events.add("end " + position);
            }
        }

        /** Reads the requests from there on; only the next record if {@code one}. */
        void read(LogReader reader, long offset, boolean one) {
            reader.execute(() -> {
                reader.assign(Topic.REQUESTS, 0, offset);
                reader.execute(() -> {
                    reading = true;
                    only = one ? reader : null;
                });
            });
        }

        @Override
        public void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {}

        @Override
        public void onTick() {
            ticks.countDown();
        }
    }

    /** A real consumer between the reader and Kafka, whose answers a test may replace. */
    @SuppressWarnings("unchecked")
    private static Consumer<String, byte[]> between(
            Consumer<String, byte[]> real, BiFunction<String, Object[], @Nullable Object> instead) {
        return (Consumer<String, byte[]>) Proxy.newProxyInstance(
                Consumer.class.getClassLoader(), new Class<?>[] {Consumer.class}, (proxy, method, arguments) -> {
                    Object[] all = arguments == null ? new Object[0] : arguments;
                    Object other = instead.apply(method.getName(), all);
                    try {
                        return other == null ? method.invoke(real, all) : other;
                    } catch (InvocationTargetException failure) {
                        throw failure.getCause();
                    }
                });
    }

    private static String next(Collector collector) throws InterruptedException {
        return String.valueOf(collector.events.poll(WAIT_S, TimeUnit.SECONDS));
    }

    @Test
    void theEndIsToldOnlyWhenAllBeforeItWasDeliveredEvenIfAnEarlierAnswerOfKafkaSaysOtherwise() throws Exception {
        try (TestBroker broker = TestBroker.start()) {
            KafkaSettings settings = broker.settings();
            TopicAdmin.ensure(settings, new TopicPlan(1, 1, 1, Duration.ofMinutes(30)), Duration.ofSeconds(30));
            AtomicBoolean held = new AtomicBoolean();
            AtomicBoolean hasty = new AtomicBoolean(true);
            AtomicInteger asked = new AtomicInteger();
            var collector = new Collector();
            var reader = new KafkaLogReader(settings, "again", collector, closed -> {}, () -> {
                var real = new DefaultKafkaConsumerFactory<String, byte[]>(settings.consumer("again", false))
                        .createConsumer();
                return between(real, (method, arguments) -> {
                    boolean poll = method.equals("poll");
                    if (held.get() && method.equals("currentLag")) {
                        asked.incrementAndGet();
                        return OptionalLong.of(0);
                    }
                    return poll && held.get()
                            ? ConsumerRecords.empty()
                            : poll && hasty.get() ? real.poll(Duration.ZERO) : null;
                });
            });
            try (var log = new KafkaLog(settings)) {
                reader.start();
                for (int i = 0; i < 8; i++) {
                    // What the first reading asked Kafka for and did not wait for comes in the second.
                    log.append(Topic.REQUESTS, 0, "a" + i, new byte[1]).get(WAIT_S, TimeUnit.SECONDS);
                    collector.read(reader, 2L * i, true);
                    assertThat(next(collector)).isEqualTo("a" + i);
                    log.append(Topic.REQUESTS, 0, "b" + i, new byte[1]).get(WAIT_S, TimeUnit.SECONDS);
                    collector.read(reader, 2L * i + 1, true);
                    assertThat(next(collector)).isEqualTo("b" + i);
                }
                hasty.set(false);
                held.set(true);
                collector.read(reader, 15, false);
                long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(WAIT_S);
                while (asked.get() < 3 && System.nanoTime() < end) {
                    Thread.onSpinWait();
                }
                assertThat(asked).hasValueGreaterThanOrEqualTo(3);
                assertThat(collector.events).isEmpty();
                held.set(false);
                assertThat(next(collector)).isEqualTo("b7");
                assertThat(next(collector)).isEqualTo("end 16");
            } finally {
                reader.close();
            }
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
                return new DefaultKafkaConsumerFactory<String, byte[]>(settings.consumer("early", false))
                        .createConsumer();
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

    /** Requests for records that a reader has made. */
    private static double fetches(String clientId) throws Exception {
        return (double) ManagementFactory.getPlatformMBeanServer()
                .getAttribute(
                        new ObjectName("kafka.consumer:type=consumer-fetch-manager-metrics,client-id=" + clientId),
                        "fetch-total");
    }

    @Test
    void aReaderThatKeepsItsPartitionsAsksForRecordsLessOftenAndHasThemAsSoon() throws Exception {
        try (TestBroker broker = TestBroker.start()) {
            KafkaSettings settings = broker.settings();
            TopicAdmin.ensure(settings, new TopicPlan(1, 1, 1, Duration.ofMinutes(30)), Duration.ofSeconds(30));
            try (var log = new KafkaLog(settings)) {
                asksLessOften(log);
            }
        }
    }

    private static void asksLessOften(KafkaLog log) throws Exception {
        var often = new CountDownLatch(60);
        LogReader other = log.reader("wandering", new LogReader.Listener() {
            @Override
            public void onRecord(LogRecord record) {}

            @Override
            public void onTick() {
                often.countDown();
            }
        });
        var records = new LinkedBlockingQueue<String>();
        var caughtUp = new CountDownLatch(1);
        LogReader settled = log.reader("settled", new LogReader.Listener() {
            @Override
            public void onRecord(LogRecord record) {
                records.add(record.key());
            }

            @Override
            public void onCaughtUp(Topic topic, int partition, long position) {
                caughtUp.countDown();
            }

            @Override
            public boolean isPunctual() {
                return false;
            }

            @Override
            public boolean isSettled() {
                return true;
            }
        });
        settled.assign(Topic.REQUESTS, 0, LogReader.BEGINNING);
        assertThat(caughtUp.await(WAIT_S, TimeUnit.SECONDS)).isTrue();
        double before = fetches("millrace-settled");
        other.assign(Topic.REQUESTS, 0, LogReader.BEGINNING);
        assertThat(often.await(WAIT_S, TimeUnit.SECONDS)).isTrue();
        assertThat(fetches("millrace-settled") - before).isLessThan(fetches("millrace-wandering") * 2 / 3);
        log.append(Topic.REQUESTS, 0, "now", new byte[1]).get(WAIT_S, TimeUnit.SECONDS);
        assertThat(records.poll(WAIT_S, TimeUnit.SECONDS)).isEqualTo("now");
    }
}
