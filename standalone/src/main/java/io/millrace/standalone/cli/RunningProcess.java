package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.process.ParentWatch;
import java.io.InputStream;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** This process from its start to the signal that ends it. */
final class RunningProcess {

    /** Exit status when a device that the process computes on is lost. */
    static final int LOST = 3;

    private static final Logger LOG = LoggerFactory.getLogger(RunningProcess.class);

    private final CountDownLatch ended = new CountDownLatch(1);
    private final CountDownLatch parentGone = new CountDownLatch(1);
    private volatile boolean ending;

    /**
     * Runs the task when the process is told to end (SIGTERM, Ctrl-C), and ends it after that time at the latest.
     *
     * @param patience of the task, asked for when it begins; a process that hangs in its shutdown is worse than one that ends without it
     */
    void onEnd(Runnable stop, Supplier<Duration> patience) {
        Runtime.getRuntime().addShutdownHook(Thread.ofPlatform().name("stop").unstarted(() -> {
            Duration most = patience.get();
            Thread.ofPlatform().name("stop-watch").daemon().start(() -> {
                try {
                    Thread.sleep(most);
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
        ParentWatch.start(pipe, () -> {
            parentGone.countDown();
            System.exit(143);
        });
    }

    /**
     * In a child that hears Ctrl-C together with its parent and siblings: waits until the parent ends it, which it does by ending
     * the pipe, or is gone. Requires {@link #watchParent}.
     */
    void awaitParent(Duration patience) {
        try {
            if (!parentGone.await(patience.toMillis(), TimeUnit.MILLISECONDS)) {
                LOG.warn("told to end, but not by the parent, for {}: ending", patience);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }

    /** Ends the process in good order, with a status of its own: it can never work again. Returns at once. */
    void giveUp(MillraceException why) {
        LOG.error("{}", why.toString());
        Thread.ofPlatform().name("give-up").start(() -> System.exit(LOST));
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
