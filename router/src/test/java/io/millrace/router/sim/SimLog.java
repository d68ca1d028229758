package io.millrace.router.sim;

import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;

/** The log in virtual time: appends arrive late, are lost, or are said to be; partitions stall. */
final class SimLog {

    static final class Part {
        final Topic topic;
        final int number;
        final List<LogRecord> records = new ArrayList<>();
        long stalledUntil;

        Part(Topic topic, int number) {
            this.topic = topic;
            this.number = number;
        }
    }

    private final SimWorld world;
    private final Map<Integer, Part> parts = new HashMap<>();
    /** Share of appends that fail. */
    double loss;
    /** Share of appends that are late by up to seconds. */
    double late;

    SimLog(SimWorld world) {
        this.world = world;
    }

    Part part(Topic topic, int partition) {
        return parts.computeIfAbsent(topic.ordinal() << 8 | partition, key -> new Part(topic, partition));
    }

    void stallAll(long until) {
        for (Topic topic : Topic.values()) {
            for (int p = 0; p < 4; p++) {
                part(topic, p).stalledUntil = until;
            }
        }
    }

    void append(
            SimProcess from,
            Topic topic,
            int partition,
            String key,
            byte @Nullable [] value,
            LongConsumer appended,
            Runnable failed) {
        Part part = part(topic, partition);
        if (loss > 0 && world.chance(loss)) {
            boolean landed = world.chance(0.5);
            world.trace("%s: append to %s-%d %s", from.name, topic, partition, landed ? "said to fail" : "lost");
            world.at(world.now + world.between(10, 1_500), () -> from.deliver(failed));
            if (!landed) {
                return;
            }
            send(from, part, key, value, offset -> {}, () -> {});
            return;
        }
        send(from, part, key, value, appended, failed);
    }

    private void send(
            SimProcess from, Part part, String key, byte @Nullable [] value, LongConsumer appended, Runnable failed) {
        int slot = part.topic.ordinal() << 8 | part.number;
        long latency = late > 0 && world.chance(late) ? world.between(50, 4_000) : world.between(1, 8);
        long arrival = Math.max(world.now + latency, from.lastArrival.getOrDefault(slot, 0L));
        from.lastArrival.put(slot, arrival);
        world.at(arrival, () -> land(from, part, key, value, appended, failed));
    }

    private void land(
            SimProcess from, Part part, String key, byte @Nullable [] value, LongConsumer appended, Runnable failed) {
        if (world.now < from.cutUntil) {
            world.at(world.now + world.between(300, 1_500), () -> from.deliver(failed));
            return;
        }
        if (world.now < part.stalledUntil) {
            world.at(part.stalledUntil, () -> land(from, part, key, value, appended, failed));
            return;
        }
        long offset = part.records.size();
        LogRecord record = new LogRecord(part.topic, part.number, offset, world.now, key, value);
        part.records.add(record);
        world.landed(record, from);
        world.at(world.now + world.between(1, 6), () -> from.deliver(() -> appended.accept(offset)));
    }
}
