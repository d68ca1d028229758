package io.millrace.gateway.node;

import io.millrace.gateway.stream.Call;
import io.millrace.shared.log.LogRecord;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Brings an exchange the journals of its call from their beginning: first by scans, as fast as the client reads and no faster,
 * then by the hub. No record is missed or taken twice where the one takes over from the other. Hub's thread, but for
 * {@link #keys}, {@link #partition} and {@link #from}.
 */
final class Follower implements JournalHub.Subscriber, JournalScans.Member {

    private enum State {
        /** Scans bring the records; the hub's are ignored. */
        HISTORY,
        /** The client is behind: no scan is under way until it has read. */
        PAUSED,
        /** The scan goes on to where the hub's records are kept from. */
        JOINING,
        LIVE
    }

    private final Call call;
    private final Exchange<?> exchange;
    private final JournalHub hub;
    private final JournalScans scans;
    private final Line line;
    private final long lagMax;
    private final Runnable whenLost;
    private final Set<String> keys;
    private final List<LogRecord> kept = new ArrayList<>();
    private State state = State.HISTORY;
    private long joinAt;
    private volatile long next;

    /**
     * @param from offset at which the first journal of the call begins
     * @param lagMax bytes that may wait for the client before the history pauses
     * @param whenLost what to do when the journal is no longer there
     */
    Follower(
            Call call,
            Exchange<?> exchange,
            JournalHub hub,
            JournalScans scans,
            Line line,
            long from,
            long lagMax,
            Runnable whenLost) {
        this.call = call;
        this.exchange = exchange;
        this.hub = hub;
        this.scans = scans;
        this.line = line;
        this.next = from;
        this.lagMax = lagMax;
        this.whenLost = whenLost;
        this.keys = call.parts().stream().map(part -> part.id().text()).collect(Collectors.toSet());
    }

    /** Begins with the history; the partition must be ready. */
    void begin() {
        exchange.live(false);
        scan();
    }

    private void scan() {
        state = State.HISTORY;
        if (!scans.join(this)) {
            exchange.fail(GatewayErrors.tooManyResumes());
        }
    }

    @Override
    public int partition() {
        return call.partition();
    }

    @Override
    public Set<String> keys() {
        return keys;
    }

    @Override
    public long from() {
        return next;
    }

    @Override
    public boolean history(List<LogRecord> records, long position, boolean caughtUp) {
        exchange.acknowledged();
        for (LogRecord each : records) {
            exchange.onRecord(each.key(), each);
            next = each.offset() + 1;
            if (exchange.closed()) {
                exchange.onFlush();
                return false;
            }
            if (exchange.lag() > lagMax) {
                exchange.onFlush();
                state = State.PAUSED;
                kept.clear();
                return false;
            }
        }
        next = position;
        exchange.onFlush();
        if (caughtUp && state == State.HISTORY) {
            exchange.caughtUp();
            if (exchange.closed()) {
                return false;
            }
            state = State.JOINING;
            joinAt = hub.position(partition());
        }
        if (state == State.JOINING && position >= joinAt) {
            join();
        }
        return state != State.LIVE;
    }

    private void join() {
        state = State.LIVE;
        exchange.live(true);
        for (LogRecord each : kept) {
            exchange.onRecord(each.key(), each);
        }
        kept.clear();
        exchange.onFlush();
    }

    @Override
    public void historyLost() {
        if (!exchange.closed()) {
            whenLost.run();
        }
    }

    @Override
    public void historyFailed() {
        exchange.onFault();
    }

    @Override
    public void onRecord(String key, LogRecord record) {
        if (state == State.LIVE) {
            exchange.onRecord(key, record);
        } else if (state == State.JOINING) {
            kept.add(record);
        }
    }

    @Override
    public void onFlush() {
        if (state == State.LIVE) {
            exchange.onFlush();
        }
    }

    @Override
    public void onTick(long nowNanos) {
        exchange.onTick(nowNanos);
        if (state == State.PAUSED && !exchange.closed() && exchange.lag() < lagMax / 4) {
            scan();
        }
    }

    @Override
    public void onLost(int partition) {
        if (state == State.LIVE || state == State.JOINING) {
            exchange.onLost(partition);
        }
    }

    @Override
    public void onFault() {
        exchange.onFault();
    }

    @Override
    public void onClosed() {
        exchange.onClosed();
    }

    @Override
    public boolean follows() {
        return line.reads();
    }
}
