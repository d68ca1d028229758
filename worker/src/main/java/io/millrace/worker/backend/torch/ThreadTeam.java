package io.millrace.worker.backend.torch;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * A few threads that share the tasks of one caller, fork and join. Tasks are taken one by one, so that a helper that the
 * operating system keeps waiting delays nobody: the caller does its work. Helpers spin for a moment between jobs, then park.
 *
 * <p>PyTorch's own thread pool is not used: its barriers cost a scheduler's time slice when the machine is busy, and its matrix
 * products sum in another order with another number of threads.
 */
final class ThreadTeam implements AutoCloseable {

    private static final long SPIN_NANOS = 50_000;
    /** Waiting that much longer than a task takes means that a helper was taken off its processor. */
    private static final long STALL_NANOS = 200_000;

    private static final int MAX_ALONE = 1024;

    /** One task of a job. {@code thread} is 0 for the caller. */
    @FunctionalInterface
    interface Task {
        void run(int index, int thread);
    }

    private static final class Job {
        final Task task;
        final int count;
        final AtomicInteger next = new AtomicInteger();
        final AtomicInteger done = new AtomicInteger();
        volatile @Nullable Throwable failure;

        Job(Task task, int count) {
            this.task = task;
            this.count = count;
        }
    }

    private final Helper[] helpers;
    private volatile @Nullable Job job;
    private volatile boolean closed;
    /** Jobs that the caller still does alone, because a helper stalled it; doubled by each stall. Only the caller's. */
    private int alone;

    private int backoff = 1;
    private int calm;

    /**
     * @param threads the caller and {@code threads - 1} helpers
     * @param start runs in each helper first
     */
    ThreadTeam(String name, int threads, Runnable start) {
        helpers = new Helper[threads - 1];
        for (int i = 0; i < helpers.length; i++) {
            helpers[i] = new Helper(name + "-" + (i + 1), i + 1, start);
            helpers[i].start();
        }
    }

    int threads() {
        return helpers.length + 1;
    }

    /** Runs tasks 0 to {@code count - 1} and returns when all are done. Rethrows what a task threw, the first of them. */
    void parallel(int count, Task task) {
        if (helpers.length == 0 || count <= 1 || alone > 0) {
            alone = Math.max(0, alone - 1);
            for (int i = 0; i < count; i++) {
                task.run(i, 0);
            }
            return;
        }
        Job current = new Job(task, count);
        job = current;
        for (Helper helper : helpers) {
            if (helper.parked) {
                LockSupport.unpark(helper);
            }
        }
        long begun = System.nanoTime();
        int own = work(current, 0);
        long worked = System.nanoTime();
        for (int spins = 0; current.done.get() < count; spins++) {
            if (spins < 10_000) {
                Thread.onSpinWait();
            } else {
                Thread.yield();
            }
        }
        stalls(System.nanoTime() - worked, (worked - begun) / Math.max(1, own));
        Throwable failure = current.failure;
        if (failure instanceof RuntimeException e) {
            throw e;
        }
        if (failure instanceof Error e) {
            throw e;
        }
    }

    private void stalls(long waited, long task) {
        if (waited > 3 * task + STALL_NANOS) {
            alone = backoff;
            backoff = Math.min(2 * backoff, MAX_ALONE);
        } else if (backoff > 1 && ++calm % 64 == 0) {
            backoff /= 2;
        }
    }

    /** Gives the number of tasks done here. */
    private static int work(Job current, int thread) {
        int own = 0;
        for (int i = current.next.getAndIncrement(); i < current.count; i = current.next.getAndIncrement()) {
            try {
                current.task.run(i, thread);
            } catch (RuntimeException | Error e) {
                if (current.failure == null) {
                    current.failure = e;
                }
            } finally {
                current.done.getAndIncrement();
                own++;
            }
        }
        return own;
    }

    @Override
    public void close() {
        closed = true;
        for (Helper helper : helpers) {
            LockSupport.unpark(helper);
        }
    }

    private final class Helper extends Thread {
        private final int index;
        private final Runnable start;
        volatile boolean parked;

        Helper(String name, int index, Runnable start) {
            super(name);
            this.index = index;
            this.start = start;
            setDaemon(true);
        }

        @Override
        public void run() {
            start.run();
            Job seen = null;
            long idleSince = System.nanoTime();
            while (!closed) {
                Job current = job;
                if (current != null && current != seen) {
                    seen = current;
                    work(current, index);
                    idleSince = System.nanoTime();
                } else if (System.nanoTime() - idleSince < SPIN_NANOS) {
                    Thread.onSpinWait();
                } else {
                    parked = true;
                    if (job == seen && !closed) {
                        LockSupport.park(this);
                    }
                    parked = false;
                }
            }
        }
    }
}
