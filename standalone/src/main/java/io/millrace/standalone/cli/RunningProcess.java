package io.millrace.standalone.cli;

import io.millrace.standalone.process.ParentWatch;
import java.io.InputStream;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;

/** This process from its start to the signal that ends it. */
final class RunningProcess {

    private final CountDownLatch ended = new CountDownLatch(1);
    private volatile boolean ending;

    /**
     * Runs the task when the process is told to end (SIGTERM, Ctrl-C), and ends it after that time at the latest.
     *
     * @param patience of the task; a process that hangs in its shutdown is worse than one that ends without it
     */
    void onEnd(Runnable stop, Duration patience) {
        Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().name("stop").unstarted(() -> {
            Thread.ofPlatform().name("stop-watch").daemon().start(() -> {
                try {
                    Thread.sleep(patience);
                    Runtime.getRuntime().halt(143);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                }
            });
            ending = true;
            stop.run();
            ended.countDown();
        }));
    }

    /** In a child process: ends with the parent. */
    void watchParent(InputStream pipe) {
        ParentWatch.start(pipe, () -> System.exit(143));
    }

    /** It has been told to end: failures from now on are of its own making. */
    boolean isEnding() {
        return ending;
    }

    /** Blocks until the process ends. */
    void await() throws InterruptedException {
        ended.await();
    }
}
