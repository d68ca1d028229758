package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.router.core.membership.LogProgress;
import io.millrace.router.core.membership.Members;
import io.millrace.router.core.membership.Worker;
import io.millrace.router.core.membership.Workers;
import io.millrace.router.core.placement.Fleet;
import io.millrace.router.core.placement.Placement;
import io.millrace.router.core.queue.FairShare;
import io.millrace.shared.fold.JournalFold;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.random.RandomGenerator;
import org.jspecify.annotations.Nullable;

/** What the parts of one router share, and the time of the input that is being handled. */
final class Context {

    final RouterCoreConfig config;
    final ProtocolRules rules;
    final RandomGenerator random;
    final Outbox outbox = new Outbox();
    final Members members;
    final Workers workers;
    final Fleet fleet;
    final FairShare shares;
    final Queues queues;
    final ModelStats stats = new ModelStats();
    final Placement placement;
    private final LinkedHashSet<Request> touched = new LinkedHashSet<>();
    long nowMs;

    Context(RouterCoreConfig config, RandomGenerator random, ProtocolRules rules) {
        this.config = config;
        this.rules = rules;
        this.random = random;
        RouterCoreConfig.Timing timing = config.timing();
        members = new Members(
                config.node(), config.incarnation(), new LogProgress(timing.beatMs(), timing.suspectAfterMs()));
        fleet = new Fleet(config.queueing().aheadOfWorker());
        workers = new Workers(new LogProgress(timing.beatMs(), timing.suspectAfterMs()), fleet);
        shares = new FairShare(config.queueing().tenantWeights());
        queues = new Queues(shares, config.queueing().ageingMs());
        placement = new Placement(fleet, random, config.placing());
    }

    /** A new aid: 128 random bits. */
    ByteString aid(String id, int attempt) {
        byte[] bits = new byte[JournalFold.AID_BYTES];
        if (rules.derivedAids()) {
            byte[] name = id.getBytes(StandardCharsets.UTF_8);
            System.arraycopy(name, 0, bits, 0, Math.min(name.length, bits.length - 1));
            bits[bits.length - 1] = (byte) attempt;
        } else {
            random.nextBytes(bits);
        }
        return ByteString.copyFrom(bits);
    }

    /** Counts the binding as load of its worker, if that process is still there. */
    void hold(Binding binding) {
        Worker worker = workers.find(binding.worker);
        if (worker != null && worker.incarnation() == binding.incarnation) {
            worker.sent(binding);
        }
    }

    /** The binding is no load of its worker any more. */
    void release(Binding binding) {
        Worker worker = workers.find(binding.worker);
        if (worker != null) {
            worker.over(binding);
        }
    }

    /** The request may be able to go on. */
    void touch(Request request) {
        touched.add(request);
    }

    /** Takes the next request that may be able to go on; null when there is none. */
    @Nullable
    Request nextTouched() {
        return touched.isEmpty() ? null : touched.removeFirst();
    }
}
