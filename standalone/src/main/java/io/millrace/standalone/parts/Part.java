package io.millrace.standalone.parts;

import io.millrace.shared.error.MillraceException;
import java.util.concurrent.CompletableFuture;

/** A part that starts beside the others; thread-safe. */
public interface Part {

    /** For a person: "router", "worker 1". */
    String name();

    /** Completes with what there is to say when it is ready ("SmolLM2-135M-Instruct in 1.2 s"), or with why it failed. */
    CompletableFuture<String> started();

    /** Completes when it can never work again in this process, with why; the process should end. */
    default CompletableFuture<MillraceException> lost() {
        return new CompletableFuture<>();
    }

    /** It works now. */
    boolean isReady();
}
