package io.millrace.standalone.system;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.shared.proto.Assignment;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.RequestRecord;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * A record of a request as any consumer of Kafka sees it.
 *
 * @param kind of the message in it, such as {@code SUBMIT}, {@code TOKENS}, {@code RESULT}
 * @param traceparent its header; empty when it has none
 */
record SeenRecord(String kind, String traceparent, String tracestate) {

    private static final List<String> TOPICS = List.of("requests", "assignments", "responses", "results");

    /** All records of requests from the beginning, read until those suffice; at most for 20 s. */
    static List<SeenRecord> read(String bootstrap, Predicate<List<SeenRecord>> enough) throws Exception {
        List<SeenRecord> seen = new ArrayList<>();
        long end = System.nanoTime() + Duration.ofSeconds(20).toNanos();
        try (var consumer = new KafkaConsumer<>(
                Map.<String, Object>of("bootstrap.servers", bootstrap),
                new StringDeserializer(),
                new ByteArrayDeserializer())) {
            List<TopicPartition> all = TOPICS.stream()
                    .flatMap(topic -> consumer.partitionsFor("millrace." + topic).stream())
                    .map(partition -> new TopicPartition(partition.topic(), partition.partition()))
                    .toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            while (!enough.test(seen) && System.nanoTime() < end) {
                for (var record : consumer.poll(Duration.ofMillis(100))) {
                    seen.add(new SeenRecord(kind(record), header(record, "traceparent"), header(record, "tracestate")));
                }
            }
        }
        return seen;
    }

    private static String kind(ConsumerRecord<String, byte[]> record) throws InvalidProtocolBufferException {
        if (record.value() == null) {
            return "TOMBSTONE";
        }
        return switch (record.topic()) {
            case "millrace.requests" ->
                RequestRecord.parseFrom(record.value()).getRecordCase().name();
            case "millrace.responses" ->
                JournalRecord.parseFrom(record.value()).getRecordCase().name();
            case "millrace.assignments" ->
                Assignment.parseFrom(record.value()).getRecordCase().name();
            default -> "RESULT";
        };
    }

    private static String header(ConsumerRecord<String, byte[]> record, String name) {
        Header header = record.headers().lastHeader(name);
        return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
    }
}
