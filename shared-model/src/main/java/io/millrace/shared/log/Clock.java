package io.millrace.shared.log;

/** Time as the protocol sees it; virtual in the simulation. */
public interface Clock {

    Clock SYSTEM = new Clock() {
        @Override
        public long wallMs() {
            return System.currentTimeMillis();
        }

        @Override
        public long nanos() {
            return System.nanoTime();
        }
    };

    /** Milliseconds since the epoch. */
    long wallMs();

    /** Monotonic nanoseconds. */
    long nanos();
}
