package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.ModelSpec;
import java.util.List;

/** Loads models by what {@code --model} says: finds the files, reads them, composes tokenizer, template, backend and engine. */
public final class ModelHost {

    private static final String MOCK = "mock";
    private static final String MOCK_NAMED = "mock:";

    private final ModelLocator locator;
    private final Clock clock;

    public ModelHost(ModelLocator locator, Clock clock) {
        this.locator = locator;
        this.clock = clock;
    }

    /** With the environment's settings and the system's clock. */
    public static ModelHost fromEnvironment() {
        return new ModelHost(ModelLocator.fromEnvironment(), Clock.SYSTEM);
    }

    /** As {@link #load(String, ModelOptions, ModelProgress, StepListener)}, without a listener. */
    public ServedModel load(String spec, ModelOptions options, ModelProgress progress) {
        return load(spec, options, progress, StepListener.NONE);
    }

    /**
     * Loads a model and starts its engine; blocks for the download.
     *
     * @param spec {@code [NAME=]SPEC}: {@code mock}, {@code mock:NAME}, or as in {@link ModelSpec#parse}
     * @param steps hears of every step of its engine
     * @throws MillraceException coded, when the model cannot be found, read or held in memory
     */
    public ServedModel load(String spec, ModelOptions options, ModelProgress progress, StepListener steps) {
        int equals = spec.indexOf('=');
        String bare = equals > 0 ? spec.substring(equals + 1) : spec;
        if (bare.equals(MOCK) || bare.startsWith(MOCK_NAMED)) {
            String own = bare.equals(MOCK) ? MOCK : bare.substring(MOCK_NAMED.length());
            String name = equals > 0 ? spec.substring(0, equals) : own;
            if (name.isBlank()) {
                throw new MillraceException("MR-SERVE-004", "The model " + spec + " has no name. Use mock:NAME.");
            }
            return MockModels.load(name, List.of(), options, clock, steps);
        }
        if (options.engine().equals(MOCK)) {
            ModelLocator.Names names = ModelLocator.names(spec);
            return MockModels.load(names.name(), names.aliases(), options, clock, steps);
        }
        return LoadedModels.load(locator.locate(spec, progress.download()), options, progress.load(), clock, steps);
    }
}
