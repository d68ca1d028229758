package io.millrace.gateway.node;

import io.millrace.shared.log.Log;
import io.millrace.shared.log.LogReader;
import io.millrace.shared.log.LogRecord;
import io.millrace.shared.topic.Topic;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.RejectedExecutionException;
import java.util.function.Consumer;
import java.util.function.LongConsumer;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The one reader of journals of this gateway: reads each partition that somebody needs once, and hands each record to the
 * subscriber of its key.
 *
 * <p>Subscribers run on the reader's thread, one at a time. The other methods are thread-safe and do not block.
 */
public final class JournalHub implements AutoCloseable {

    /** Receives the records of one request; everything on the hub's thread, and must not block. */
    public interface Subscriber {

        void onRecord(String key, LogRecord record);

        /** All records of this round have been handed out: time to send what they became. */
        void onFlush();

        /** Now and then, at least every 100 ms. */
        void onTick(long nowNanos);

        /** Records of the partition were lost to retention before they were read. */
        void onLost(int partition);

        /** It threw: what it has sent may lack something, so nothing more may follow. Must not throw. */
        void onFault();

        /** The hub closes: nothing comes any more. */
        void onClosed();

        /** Whether a client reads the request by it. */
        default boolean follows() {
            return true;
        }
    }

    private static final Logger LOG = LoggerFactory.getLogger(JournalHub.class);
    private static final long TICK_NANOS = 20_000_000;
    private static final int TICKS_LEAST = 256;

    private static final class Partition {
        final CompletableFuture<Void> ready = new CompletableFuture<>();
        /** The reader has begun with it: before, what it reports is of an earlier use of the partition. Reader's thread only. */
        boolean assigned;

        int users;
        boolean own;
    }

    private final Map<String, List<Subscriber>> subscribers = new ConcurrentHashMap<>();
    private final Map<Integer, Partition> partitions = new HashMap<>();
    private final Set<Subscriber> dirty = new LinkedHashSet<>();
    private final List<LongConsumer> tickers = new CopyOnWriteArrayList<>();
    /** Guards the last word to each subscriber: {@link Subscriber#onClosed} comes from one thread at a time. */
    private final Object closing = new Object();

    private volatile boolean closed;
    private final LogReader reader;
    /** The next offset of each partition read; reader's thread only. */
    private final Map<Integer, Long> positions = new HashMap<>();

    private long lastTickNanos = System.nanoTime();
    /** Subscribers of this round of ticks, and how many of them have had theirs. */
    private List<Subscriber> ticking = List.of();

    private int ticked;

    public JournalHub(Log log) {
        this.reader = log.reader("journals", new Listener());
    }

    /**
     * Begins to read the partition, unless it is read already. The future completes once every record appended from then on
     * will be handed out; never once the hub is closed. Each call wants one {@link #release}.
     */
    public CompletableFuture<Void> use(int partition) {
        synchronized (partitions) {
            Partition state = assigned(partition);
            state.users++;
            return state.ready;
        }
    }

    public void release(int partition) {
        synchronized (partitions) {
            Partition state = partitions.get(partition);
            if (state != null) {
                state.users--;
                dropUnused(partition, state);
            }
        }
    }

    /** Keeps these partitions read, whether somebody uses them or not, so that a request finds its partition ready. */
    public void keep(Set<Integer> own) {
        synchronized (partitions) {
            for (int partition : own) {
                assigned(partition).own = true;
            }
            for (int partition : List.copyOf(partitions.keySet())) {
                Partition state = partitions.get(partition);
                if (state != null && !own.contains(partition)) {
                    state.own = false;
                    dropUnused(partition, state);
                }
            }
        }
    }

    private Partition assigned(int partition) {
        return partitions.computeIfAbsent(partition, number -> {
            Partition state = new Partition();
            if (closed) {
                return state;
            }
            reader.assign(Topic.RESPONSES, number, LogReader.END);
            execute(() -> {
                state.assigned = true;
                positions.remove(number);
            });
            return state;
        });
    }

    private void dropUnused(int partition, Partition state) {
        if (state.users == 0 && !state.own) {
            partitions.remove(partition);
            reader.unassign(Topic.RESPONSES, partition);
        }
    }

    /**
     * Hands records with that key to the subscriber too, from the next one read. Once closed, it hears so before this returns.
     */
    public void subscribe(String key, Subscriber subscriber) {
        subscribers.merge(key, List.of(subscriber), JournalHub::plus);
        if (closed) {
            tellClosed(key, subscriber);
        }
    }

    private static List<Subscriber> plus(List<Subscriber> some, List<Subscriber> more) {
        List<Subscriber> all = new ArrayList<>(some);
        all.addAll(more);
        return List.copyOf(all);
    }

    /** Whether a client still reads that request by another one than this. */
    boolean followed(String key, Subscriber except) {
        return subscribers.getOrDefault(key, List.of()).stream().anyMatch(each -> each != except && each.follows());
    }

    /** Next offset of a partition that is ready; hub's thread only. */
    long position(int partition) {
        return positions.getOrDefault(partition, 0L);
    }

    boolean isClosed() {
        return closed;
    }

    /** Runs the task on the hub's thread, about every 20 ms, with the time in nanoseconds; it must not block. */
    void onEveryTick(LongConsumer task) {
        tickers.add(task);
    }

    /** Whether it was subscribed. */
    public boolean unsubscribe(String key, Subscriber subscriber) {
        boolean[] found = new boolean[1];
        subscribers.computeIfPresent(key, (same, all) -> {
            List<Subscriber> rest = new ArrayList<>(all);
            found[0] = rest.remove(subscriber);
            return rest.isEmpty() ? null : List.copyOf(rest);
        });
        return found[0];
    }

    /** Runs the task on the hub's thread, soon; not at all once closed. */
    public void execute(Runnable task) {
        try {
            reader.execute(task);
        } catch (RejectedExecutionException closed) {
            // onClosed has told the subscribers.
        }
    }

    /** Requests that are followed now. */
    public int size() {
        return subscribers.size();
    }

    @Override
    public void close() {
        reader.close();
        closed = true;
        subscribers.forEach((key, all) -> all.forEach(each -> tellClosed(key, each)));
    }

    private void tellClosed(String key, Subscriber subscriber) {
        synchronized (closing) {
            if (unsubscribe(key, subscriber)) {
                subscriber.onClosed();
            }
        }
    }

    /** Each once, however many keys it has. */
    private Set<Subscriber> all() {
        Set<Subscriber> all = new LinkedHashSet<>();
        subscribers.values().forEach(all::addAll);
        return all;
    }

    private final class Listener implements LogReader.Listener {

        @Override
        public void onRecord(LogRecord record) {
            positions.put(record.partition(), record.offset() + 1);
            for (Subscriber subscriber : subscribers.getOrDefault(record.key(), List.of())) {
                dirty.add(subscriber);
                guard(subscriber, each -> each.onRecord(record.key(), record));
            }
        }

        @Override
        public void onCaughtUp(Topic topic, int partition, long position) {
            @Nullable Partition state;
            synchronized (partitions) {
                state = partitions.get(partition);
            }
            if (state != null && state.assigned && !state.ready.isDone()) {
                positions.put(partition, position);
                state.ready.complete(null);
            }
        }

        @Override
        public void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {
            for (Subscriber each : all()) {
                guard(each, subscriber -> subscriber.onLost(partition));
            }
        }

        /** One subscriber's fault is its own: it hears of it and ends, the others go on. */
        private static void guard(Subscriber subscriber, Consumer<Subscriber> call) {
            try {
                call.accept(subscriber);
            } catch (RuntimeException e) {
                LOG.error("a call failed on a record of its journal", e);
                subscriber.onFault();
            }
        }

        private static void tick(LongConsumer ticker, long now) {
            try {
                ticker.accept(now);
            } catch (RuntimeException e) {
                LOG.error("a periodic task of the hub failed; going on", e);
            }
        }

        @Override
        public void onTick() {
            for (Subscriber each : dirty) {
                guard(each, Subscriber::onFlush);
            }
            dirty.clear();
            long now = System.nanoTime();
            if (now - lastTickNanos >= TICK_NANOS) {
                lastTickNanos = now;
                for (LongConsumer ticker : tickers) {
                    tick(ticker, now);
                }
                tickSome(now);
            }
        }

        /** A quarter of them each time, and not fewer than some, so that many do not all want their turn at once. */
        private void tickSome(long now) {
            if (ticked == ticking.size()) {
                ticking = List.copyOf(all());
                ticked = 0;
            }
            int until = Math.min(ticking.size(), ticked + Math.max(TICKS_LEAST, (ticking.size() + 3) / 4));
            while (ticked < until) {
                guard(ticking.get(ticked++), subscriber -> subscriber.onTick(now));
            }
        }
    }
}
