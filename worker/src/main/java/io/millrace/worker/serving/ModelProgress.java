package io.millrace.worker.serving;

import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.model.hub.Progress;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;

/**
 * Hears how far getting and loading a model is.
 *
 * @param download hears of bytes
 * @param load hears of phases
 */
public record ModelProgress(Progress download, LoadProgress load) {

    public static final ModelProgress NONE = new ModelProgress(Progress.NONE, LoadProgress.NONE);

    private static final int STEPS = 10;

    /** As lines for a person, such as "model.gguf: 34 of 138 MiB"; about ten for each thing. */
    public static ModelProgress lines(Consumer<String> out) {
        AtomicReference<String> last = new AtomicReference<>("");
        return new ModelProgress(
                (what, done, total) -> {
                    long step = total <= 0 ? 0 : done * STEPS / total;
                    if (!last.getAndSet(what + step).equals(what + step)) {
                        out.accept(total <= 0 ? what : what + ": " + (done >> 20) + " of " + (total >> 20) + " MiB");
                    }
                },
                (phase, fraction) -> {
                    long step = (long) (fraction * STEPS);
                    if (!last.getAndSet(phase + step).equals(phase + step)) {
                        out.accept("loading " + phase + ": " + Math.round(fraction * 100) + " %");
                    }
                });
    }
}
