package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.parts.PartsApplication;
import io.millrace.standalone.parts.Role;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.ResolvedModel;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelInfo;
import io.millrace.worker.serving.ModelOptions;
import java.io.IOException;
import java.util.EnumSet;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/**
 * {@code millrace bench train}: what Java's ahead-of-time cache is made from. The whole path with the mock model many times over, and a model that
 * lies on this machine already, loaded as a worker does and asked for one short answer. It downloads nothing, and leaves a GPU to the server beside.
 */
@Command(
        name = "train",
        description = "Runs what a start runs, so that Java's ahead-of-time cache knows it.",
        hidden = true,
        sortOptions = false)
final class TrainCommand implements Callable<Integer> {

    /** A larger model would take memory that the server beside may want. */
    static final long BYTES_MAX = 1L << 30;

    /** Exit code where no model was loaded. */
    static final int NO_MODEL = 3;

    private static final int TOKENS = 24;

    @Option(names = "--model", defaultValue = "default", description = "Default: ${DEFAULT-VALUE}.")
    @SuppressWarnings("NullAway.Init")
    private String model;

    @Option(names = "--require-model", description = "Do nothing where the model is not there.")
    private boolean requireModel;

    @Mixin
    private final BenchOutput output = new BenchOutput();

    /** 0 when a model was loaded, 3 when none was and the rest was done. */
    @Override
    public Integer call() throws IOException {
        ResolvedModel found = found();
        if (found == null && requireModel) {
            return NO_MODEL;
        }
        if (found != null) {
            ask(found);
        }
        int done = new CommandLine(new LogCommand())
                .execute(
                        "--requests",
                        "20",
                        "--warm-up",
                        "2000",
                        "--out",
                        output.folder().toString());
        if (done != 0) {
            throw new MillraceException("MR-BENCH-010", "The whole path did not answer every request.");
        }
        return found == null ? NO_MODEL : 0;
    }

    /** The model, where it lies here and is small enough; says why not. */
    private @Nullable ResolvedModel found() {
        try {
            ResolvedModel cached = ModelLocator.fromEnvironment().locateCached(model);
            if (cached == null) {
                say(model + " is not on this machine yet: its loading is learnt at a later start");
                return null;
            }
            long bytes = ModelInfo.describe(cached, ModelOptions.DEFAULT).storedBytes();
            if (bytes > BYTES_MAX) {
                say("%s has %,d MiB, more than the %,d for this: another model's loading will be learnt"
                        .formatted(model, bytes >> 20, BYTES_MAX >> 20));
                return null;
            }
            return cached;
        } catch (MillraceException unreadable) {
            say(model + " cannot be read: " + unreadable.getMessage());
            return null;
        }
    }

    private void ask(ResolvedModel found) throws IOException {
        try (BenchSystem system = BenchSystem.start()) {
            PartsApplication parts = system.add(EnumSet.allOf(Role.class), flags(found));
            StreamTimes answer = new OpenAiStream(BenchSystem.url(parts), found.name(), null)
                    .run("What is the capital of France?", TOKENS, 1);
            if (!answer.ok()) {
                throw new MillraceException(
                        "MR-BENCH-010", found.name() + " was loaded, but gave no token: " + answer.error() + ".");
            }
        }
        say(found.name() + " was loaded and has answered");
    }

    /** Those of a worker that serves the model by the processor. */
    static Map<String, Object> flags(ResolvedModel found) {
        return Map.of(
                "millrace.worker.models[0]",
                found.name() + "=" + found.path(),
                "millrace.worker.engine",
                ModelHost.processorEngine());
    }

    private void say(String line) {
        output.print().println("Ahead-of-time cache: " + line + ".");
        output.print().flush();
    }
}
