package io.millrace.worker.journal;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.RunningAttempt;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * The executions of this worker, together with how far it has read its slot: a heartbeat shows both as of one moment, so that a router
 * can tell "not read yet" from "gone". Thread-safe.
 */
final class ExecutionTable {

    private static final int SEEN_MAX = 65_536;

    /** What a heartbeat says of it. */
    record Snapshot(long position, List<RunningAttempt> attempts) {}

    private final Map<String, Execution> executions = new LinkedHashMap<>();
    /** Aids, and (partition, req) of assignments without one, that were taken once: never again. */
    private final Map<Object, Boolean> seen = new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.@Nullable Entry<Object, Boolean> eldest) {
            return size() > SEEN_MAX;
        }
    };

    private long position;

    private record First(int partition, long req) {}

    /** Whether that assignment is new here; a second call with the same says no. */
    synchronized boolean isNew(int partition, long req, ByteString aid) {
        Object mark = aid.isEmpty() ? new First(partition, req) : aid;
        return seen.putIfAbsent(mark, true) == null;
    }

    /** Adds an execution that the record below {@code next} brought. */
    synchronized void add(Execution execution, long next) {
        executions.put(execution.key(), execution);
        position = next;
    }

    synchronized void advance(long next) {
        position = Math.max(position, next);
    }

    synchronized void remove(Execution execution) {
        executions.remove(execution.key(), execution);
    }

    synchronized @Nullable Execution find(String key) {
        return executions.get(key);
    }

    synchronized List<Execution> all() {
        return new ArrayList<>(executions.values());
    }

    synchronized int size() {
        return executions.size();
    }

    Snapshot snapshot() {
        List<Execution> now;
        long read;
        synchronized (this) {
            now = all();
            read = position;
        }
        return new Snapshot(read, now.stream().map(Execution::listed).toList());
    }
}
