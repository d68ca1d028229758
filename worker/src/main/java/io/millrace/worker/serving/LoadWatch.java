package io.millrace.worker.serving;

import io.millrace.shared.log.Clock;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.function.Supplier;

/** Takes the times of one loading. Thread-safe. */
final class LoadWatch {

    private final Clock clock;
    private final long began;
    private final List<LoadTimes.Part> parts = new ArrayList<>();

    LoadWatch(Clock clock) {
        this.clock = clock;
        this.began = clock.nanos();
    }

    /** Does a part of the work; one that throws is not kept. */
    <T> T time(String part, Supplier<T> work) {
        long start = clock.nanos();
        T made = work.get();
        long nanos = clock.nanos() - start;
        synchronized (parts) {
            parts.add(new LoadTimes.Part(part, start - began, nanos));
        }
        return made;
    }

    /** All parts until now. */
    LoadTimes times() {
        synchronized (parts) {
            parts.sort(Comparator.comparingLong(LoadTimes.Part::startNanos));
            return new LoadTimes(clock.nanos() - began, parts);
        }
    }
}
