package io.millrace.worker.engine;

import io.millrace.worker.text.Tokenizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;

/** The executions in the engine: how they come in, resume, and end one way or another. Confined to the engine's thread. */
final class Executions {

    private static final System.Logger LOG = System.getLogger(Executions.class.getName());

    private final Map<String, SequenceGroup> groups = new HashMap<>();
    private final Scheduler scheduler;
    private final Outputs outputs;
    private final Tokenizer tokenizer;
    private final int maxModelLen;
    private final AtomicInteger outstanding;
    private long arrivals;

    /** @param outstanding counted down when an execution is over */
    Executions(Scheduler scheduler, Outputs outputs, Tokenizer tokenizer, int maxModelLen, AtomicInteger outstanding) {
        this.scheduler = scheduler;
        this.outputs = outputs;
        this.tokenizer = tokenizer;
        this.maxModelLen = maxModelLen;
        this.outstanding = outstanding;
    }

    /** One that could not come in after all. */
    void turnAway(GenerationListener listener, String code, String message, boolean retryable) {
        outstanding.decrementAndGet();
        outputs.failure(listener, code, message, retryable);
    }

    /** Sets an execution up; it waits, has ended already, or hears why it cannot run. */
    @SuppressWarnings("CatchingUnchecked")
    void submit(GenerationRequest request, GenerationListener listener) {
        if (groups.containsKey(request.key()) || allEnded(request)) {
            turnAway(
                    listener,
                    "MR-ENGINE-005",
                    "Execution " + request.key() + " is here already, or all of its choices have ended.",
                    false);
            return;
        }
        try {
            SequenceGroup group = new SequenceGroup(
                    request,
                    listener,
                    arrivals++,
                    tokenizer,
                    maxModelLen,
                    scheduler.cache().groups());
            groups.put(request.key(), group);
            resume(group);
        } catch (RuntimeException | Error e) {
            refuse(request, listener, e);
        }
    }

    /** A request that cannot even be set up harms nobody else. Where only memory was short it may try again. */
    private void refuse(GenerationRequest request, GenerationListener listener, Throwable e) {
        String why = "Execution " + request.key() + " cannot be set up: " + e;
        boolean again = e instanceof OutOfMemoryError;
        SequenceGroup group = groups.get(request.key());
        if (group != null) {
            fail(group, "MR-ENGINE-010", why, again);
        } else {
            turnAway(listener, "MR-ENGINE-010", why, again);
        }
    }

    private static boolean allEnded(GenerationRequest request) {
        for (boolean ended : request.ended()) {
            if (!ended) {
                return false;
            }
        }
        return true;
    }

    /** Puts accepted ids into the choices; one that they end already ends now. What is left waits, or forks from the first. */
    private void resume(SequenceGroup group) {
        for (Sequence s : List.copyOf(group.live())) {
            OutputRules.Verdict last = null;
            for (int id : group.request().accepted().get(s.choice())) {
                last = s.accept(id);
            }
            if (last != null && last.end() != null) {
                end(s, last.end());
            }
        }
        if (group.live().isEmpty()) {
            return;
        }
        if (group.isFresh()) {
            Sequence leader = group.leader();
            leader.setForks(group.live().subList(1, group.live().size()));
            scheduler.add(leader);
        } else {
            group.live().forEach(scheduler::add);
        }
    }

    /** Unknown keys are ignored. */
    void cancel(String key) {
        SequenceGroup group = groups.get(key);
        if (group != null) {
            drop(group);
            outputs.add(group.listener()::onCancelled);
        }
    }

    /** Tells those whose first ids the step computes. */
    void announce(Step step) {
        for (Step.Part part : step.parts()) {
            SequenceGroup group = part.sequence().group();
            if (group.markScheduled()) {
                int cached = part.from();
                outputs.add(() -> group.listener().onScheduled(cached));
            }
        }
    }

    /** Fails what is past its deadline. */
    void failExpired(long now) {
        for (SequenceGroup group : List.copyOf(groups.values())) {
            long deadline = group.request().deadlineMs();
            if (deadline > 0 && now >= deadline) {
                fail(
                        group,
                        "MR-ENGINE-007",
                        "The deadline passed " + (now - deadline)
                                + " ms ago. Allow more time, or ask for fewer tokens.",
                        false);
            }
        }
    }

    /** A choice is over. */
    void end(Sequence s, OutputRules.End end) {
        scheduler.remove(s);
        outputs.end(s, end);
        s.group().live().remove(s);
        if (s.group().live().isEmpty()) {
            forget(s.group());
        }
    }

    /** Gives an execution up. */
    void fail(SequenceGroup group, String code, String message, boolean retryable) {
        outputs.failure(group.listener(), code, message, retryable);
        drop(group);
    }

    private void drop(SequenceGroup group) {
        forget(group);
        List<Sequence> live = List.copyOf(group.live());
        group.live().clear();
        live.forEach(scheduler::remove);
    }

    private void forget(SequenceGroup group) {
        if (groups.remove(group.request().key(), group)) {
            outstanding.decrementAndGet();
        }
    }

    /** Fails everything, retryable. */
    @SuppressWarnings("CatchingUnchecked")
    void handEverythingBack(String code, String why) {
        for (SequenceGroup group : new ArrayList<>(groups.values())) {
            try {
                fail(group, code, why, true);
            } catch (RuntimeException | Error e) {
                LOG.log(System.Logger.Level.ERROR, "The books of the KV cache are broken.", e);
            }
        }
    }
}
