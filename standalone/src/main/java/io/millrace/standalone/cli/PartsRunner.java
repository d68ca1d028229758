package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.parts.Part;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import java.time.Duration;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** Starts parts in this process, waits until they are ready, and stops them at its end. */
final class PartsRunner {

    private static final Duration STOP_PATIENCE = Duration.ofMillis(2_800);

    private static final String KEYS = "millrace.gateway.keys-file";

    private final Console console;
    private final Map<String, Object> defaults;
    private final RunningProcess process = new RunningProcess();
    private final AtomicReference<@Nullable PartsApplication> running = new AtomicReference<>();

    /** @param common say where the gateway's file of keys is, where no property does */
    PartsRunner(Console console, CommonOptions common) {
        this.console = console;
        this.defaults = Map.of(KEYS, CommonOptions.keysFile(common.dataDir()).toString());
    }

    /**
     * Runs until the process is told to end.
     *
     * @param broker completes when the broker in this process takes clients
     * @param stopBroker runs after the parts have stopped
     * @param stopPatience how long stopping may take; null: as short as a person wants
     * @param announce hears the web server's port once everything is ready
     */
    int run(
            Set<Role> roles,
            Map<String, Object> flags,
            CompletableFuture<?> broker,
            Runnable stopBroker,
            @Nullable Duration stopPatience,
            java.util.function.IntConsumer announce)
            throws InterruptedException {
        process.onEnd(
                () -> {
                    PartsApplication application = running.getAndSet(null);
                    if (application != null) {
                        application.close();
                    }
                    stopBroker.run();
                },
                () -> patience(stopPatience));
        PartsApplication application = PartsApplication.start(roles, flags, defaults, broker, console::progress);
        running.set(application);
        for (Part part : application.parts()) {
            part.started().thenAccept(what -> console.ready(part.name(), what));
            part.lost().thenAccept(process::giveUp);
        }
        try {
            broker.join();
            application.parts().forEach(part -> part.started().join());
        } catch (CompletionException failure) {
            if (process.isEnding()) {
                process.await();
            }
            throw failure.getCause() instanceof MillraceException coded ? coded : failure;
        }
        announce.accept(application.port());
        process.await();
        return 0;
    }

    /** A worker that drains takes the time that it was given for that, and some more to hand over. */
    private Duration patience(@Nullable Duration given) {
        PartsApplication application = running.get();
        Duration drain = given == null || application == null ? Duration.ZERO : application.drainGrace();
        return (given == null ? STOP_PATIENCE : given).plus(drain);
    }

    /** In a child process: ends with the parent. */
    PartsRunner watchParent(boolean child) {
        if (child) {
            process.watchParent(System.in);
        }
        return this;
    }
}
