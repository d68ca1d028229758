package io.millrace.router.sim;

import com.google.protobuf.InvalidProtocolBufferException;
import io.millrace.router.core.Effect;
import io.millrace.router.core.RouterCore;
import io.millrace.router.core.RouterCoreConfig;
import io.millrace.router.core.RouterEvent;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.proto.Checkpoint;
import io.millrace.shared.topic.Topic;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** A router process: the real core, fed from the simulated log. */
final class SimRouter extends SimProcess {

    private static final class Reading {
        final SimLog.Part part;
        int position;
        long lagUntil;

        Reading(SimLog.Part part, int position) {
            this.part = part;
            this.position = position;
        }
    }

    final RouterCore core;
    final String node;
    private final Map<Integer, Reading> readings = new HashMap<>();

    SimRouter(SimWorld world, String node, long incarnation, RouterCoreConfig config, RandomGenerator random) {
        super(world, "router " + node + "/" + incarnation % 1_000, 10, 40);
        this.node = node;
        core = world.mutation.router(config, random);
        carryOut(core.start(world.now));
    }

    @Override
    void poll() {
        for (Reading reading : List.copyOf(readings.values())) {
            read(reading);
        }
        carryOut(core.onTick(world.now));
    }

    private void read(Reading reading) {
        if (world.now < reading.lagUntil) {
            return;
        }
        if (world.chance(0.02)) {
            reading.lagUntil = world.now + world.between(20, 400);
            return;
        }
        int key = key(reading.part.topic, reading.part.number);
        while (reading.position < reading.part.records.size()) {
            LogRecord record = reading.part.records.get(reading.position++);
            carryOut(core.onRecord(record, world.now));
            if (readings.get(key) != reading) {
                return;
            }
        }
        carryOut(core.onCaughtUp(reading.part.topic, reading.part.number, reading.position, world.now));
    }

    private static int key(Topic topic, int partition) {
        return topic.ordinal() << 8 | partition;
    }

    private void carryOut(List<Effect> effects) {
        for (Effect effect : effects) {
            switch (effect) {
                case Effect.Append append ->
                    world.log.append(
                            this,
                            append.topic(),
                            append.partition(),
                            append.key(),
                            world.mutation == Mutation.LATE_CHECKPOINT && append.topic() == Topic.CHECKPOINTS
                                    ? late(append.value())
                                    : append.value(),
                            offset -> carryOut(core.onAppended(append.token(), offset, world.now)),
                            () -> carryOut(core.onAppendFailed(append.token(), world.now)));
                case Effect.StartReading start -> {
                    SimLog.Part part = world.log.part(start.topic(), start.partition());
                    int from = start.fromOffset() == LogReader.BEGINNING ? 0 : (int) start.fromOffset();
                    readings.put(key(start.topic(), start.partition()), new Reading(part, from));
                }
                case Effect.StopReading stop -> readings.remove(key(stop.topic(), stop.partition()));
                case Effect.ConnectLiveness connect -> world.watch(this, connect.worker(), connect.incarnation());
                case Effect.DisconnectLiveness gone -> {}
                case Effect.Observe observe -> observe(observe.event());
            }
        }
    }

    private static byte @Nullable [] late(byte @Nullable [] checkpoint) {
        if (checkpoint == null) {
            return null;
        }
        try {
            Checkpoint parsed = Checkpoint.parseFrom(checkpoint);
            return parsed.toBuilder()
                    .setResponsesOffset(parsed.getResponsesOffset() + 1)
                    .build()
                    .toByteArray();
        } catch (InvalidProtocolBufferException e) {
            throw new IllegalStateException(e);
        }
    }

    private void observe(RouterEvent event) {
        switch (event) {
            case RouterEvent.Fenced fenced -> {
                // No fail-over: here each append takes a time of its own, so a claim often overtakes its ADMIT.
                if (!fenced.cause().equals("claim_ignored")) {
                    world.fences++;
                }
            }
            case RouterEvent.DeadLettered dead -> world.deadLetters++;
            default -> {}
        }
        world.trace("%s: %s", name, event);
    }

    void livenessLost(String worker, long incarnation) {
        deliver(() -> carryOut(core.onLivenessLost(worker, incarnation, world.now)));
    }
}
