package io.millrace.shared.log;

import io.millrace.shared.topic.Topic;

/** Reads any set of partitions, each in order; a single-threaded event loop. Methods are thread-safe. */
public interface LogReader extends AutoCloseable {

    /** Offset that stands for "the first record there is". */
    long BEGINNING = -2;

    /** Offset that stands for "what comes after the end as it is now". */
    long END = -1;

    /** Adds a partition, from that offset on; one that is read already moves there. */
    void assign(Topic topic, int partition, long fromOffset);

    void unassign(Topic topic, int partition);

    /** Runs the task on the reader's thread, soon. */
    void execute(Runnable task);

    /** Records in its partitions that it has not delivered yet, as it knew a moment ago; 0 when it does not know. */
    default long lag() {
        return 0;
    }

    /** Runs the task on the reader's thread without waking it for that: with the next record, or at its next tick. */
    void executeLater(Runnable task);

    /** Stops the thread; nothing is delivered after it returns (unless called on the reader's own thread). */
    @Override
    void close();

    /** Called on the reader's thread; must not block. */
    interface Listener {

        void onRecord(LogRecord record);

        /**
         * The reader has delivered everything up to the end of the partition as it was a moment ago; repeated. The first one comes
         * when all has been delivered that was there when the partition was assigned.
         */
        default void onCaughtUp(Topic topic, int partition, long position) {}

        /** The wanted offset is gone (retention): reading goes on at {@code restartOffset}. */
        default void onTruncated(Topic topic, int partition, long wantedOffset, long restartOffset) {}

        /** After each round of records, at least every 50 ms: timers hang here. */
        default void onTick() {}

        /** Whether its timers need that. Where they do not, or there are none, ticks come at least every 300 ms while no records do. */
        default boolean isPunctual() {
            return true;
        }

        /**
         * Whether it keeps the partitions that it began with. A broker answers a reader's requests one after the other, so a request that waits for
         * records holds up what the next wants to know of another partition; of a reader that wants no other it may wait longer.
         */
        default boolean isSettled() {
            return false;
        }
    }
}
