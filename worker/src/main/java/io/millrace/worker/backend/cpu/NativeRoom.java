package io.millrace.worker.backend.cpu;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Native memory that grows and is used again; what was there is lost when it grows. Confined to one thread, except {@link #close}. */
final class NativeRoom implements AutoCloseable {

    private static final int ALIGNMENT = 8;

    private Arena arena = Arena.ofShared();
    private MemorySegment memory;

    @SuppressWarnings("MustBeClosedChecker") // close() closes the arena
    NativeRoom() {
        memory = arena.allocate(1024, ALIGNMENT);
    }

    /** So many bytes of it, from its beginning. */
    @SuppressWarnings("MustBeClosedChecker")
    MemorySegment of(long bytes) {
        if (bytes > memory.byteSize()) {
            Arena larger = Arena.ofShared();
            memory = larger.allocate(Math.max(bytes, 2 * memory.byteSize()), ALIGNMENT);
            arena.close();
            arena = larger;
        }
        return memory.asSlice(0, bytes);
    }

    @Override
    public void close() {
        arena.close();
    }
}
