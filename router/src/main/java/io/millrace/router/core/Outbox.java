package io.millrace.router.core;

import io.millrace.shared.proto.TraceContext;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Collects the effects of one input, and knows who waits for the outcome of which append. */
final class Outbox {

    /** Told once what became of an append. */
    interface Outcome {

        Outcome NONE = new Outcome() {
            @Override
            public void appended(long offset) {}

            @Override
            public void failed() {}
        };

        void appended(long offset);

        /** It is not known to stand in the log; it may yet. */
        void failed();
    }

    private final Map<Long, Outcome> waiting = new HashMap<>();
    private List<Effect> effects = new ArrayList<>();
    private long lastToken;

    /** A record that belongs to no request. */
    void append(Topic topic, int partition, String key, byte @Nullable [] value, Outcome outcome) {
        append(topic, partition, key, value, TraceContext.getDefaultInstance(), outcome);
    }

    /** @param trace of the request that the record belongs to */
    void append(Topic topic, int partition, String key, byte @Nullable [] value, TraceContext trace, Outcome outcome) {
        long token = ++lastToken;
        if (outcome != Outcome.NONE) {
            waiting.put(token, outcome);
        }
        effects.add(new Effect.Append(token, topic, partition, key, value, trace));
    }

    void add(Effect effect) {
        effects.add(effect);
    }

    void observe(RouterEvent event) {
        effects.add(new Effect.Observe(event));
    }

    void appended(long token, long offset) {
        Outcome outcome = waiting.remove(token);
        if (outcome != null) {
            outcome.appended(offset);
        }
    }

    void failed(long token) {
        Outcome outcome = waiting.remove(token);
        if (outcome != null) {
            outcome.failed();
        }
    }

    List<Effect> drain() {
        if (effects.isEmpty()) {
            return List.of();
        }
        List<Effect> out = effects;
        effects = new ArrayList<>();
        return out;
    }
}
