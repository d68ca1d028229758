package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.MemoryNeed;
import io.millrace.worker.engine.StepListener;
import io.millrace.worker.model.hub.ModelLocator;
import io.millrace.worker.model.hub.ModelSpec;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Loads models by what {@code --model} says: finds the files, reads them, composes tokenizer, template, backend and engine. */
public final class ModelHost {

    static final String MOCK = "mock";
    private static final String MOCK_NAMED = "mock:";

    private final ModelLocator locator;
    private final Clock clock;
    private final AutoEngine auto;

    public ModelHost(ModelLocator locator, Clock clock) {
        this(locator, clock, AutoEngine.ofMachine());
    }

    ModelHost(ModelLocator locator, Clock clock, AutoEngine auto) {
        this.locator = locator;
        this.clock = clock;
        this.auto = auto;
    }

    /** With the environment's settings and the system's clock. */
    public static ModelHost fromEnvironment() {
        return new ModelHost(ModelLocator.fromEnvironment(), Clock.SYSTEM);
    }

    /** The engine that {@code auto} is here where it is not the GPU: {@code cpu} where its kernels are built and fast, else {@code torch}. */
    public static String processorEngine() {
        return Backends.host();
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
        if (isMock(bare(spec)) || options.engine().equals(MOCK)) {
            ModelLocator.Names names = names(spec);
            return MockModels.load(names.name(), weights(spec, names), names.aliases(), options, clock, steps);
        }
        return LoadedModels.load(
                locator.locate(spec, progress.download()), options, auto, progress.load(), clock, steps);
    }

    private static ModelLocator.Names names(String spec) {
        String bare = bare(spec);
        if (!isMock(bare)) {
            return ModelLocator.names(spec);
        }
        int equals = spec.indexOf('=');
        String own = bare.equals(MOCK) ? MOCK : bare.substring(MOCK_NAMED.length());
        String name = equals > 0 ? spec.substring(0, equals) : own;
        if (name.isBlank()) {
            throw new MillraceException("MR-SERVE-004", "The model " + spec + " has no name. Use mock:NAME.");
        }
        return new ModelLocator.Names(name, List.of());
    }

    /** What stands for a mock's weights: {@code alpha=mock:new} is another model than {@code alpha=mock:old}. */
    private static String weights(String spec, ModelLocator.Names names) {
        String bare = bare(spec);
        return bare.startsWith(MOCK_NAMED) ? bare.substring(MOCK_NAMED.length()) : names.name();
    }

    private static String bare(String spec) {
        int equals = spec.indexOf('=');
        return equals > 0 ? spec.substring(equals + 1) : spec;
    }

    private static boolean isMock(String bare) {
        return bare.equals(MOCK) || bare.startsWith(MOCK_NAMED);
    }

    /**
     * Finds several models, downloading what is missing, and checks that their names differ and that they fit into memory together;
     * loads none of them.
     *
     * @throws MillraceException MR-SERVE-009 when a name is that of two, MR-MEM-001 with the numbers when they do not fit; otherwise as
     *     of {@link #load}
     */
    public void checkTogether(List<String> specs, ModelOptions options, ModelProgress progress) {
        checkNames(specs);
        List<String> real = specs.stream().filter(spec -> !isMock(bare(spec))).toList();
        if (real.size() < 2 || options.engine().equals(MOCK)) {
            return;
        }
        MemoryNeed sum = new MemoryNeed(0, 0, Long.MAX_VALUE);
        List<String> each = new ArrayList<>();
        for (String spec : real) {
            ModelInfo info = ModelInfo.describe(locator.locate(spec, progress.download()), options);
            MemoryNeed need = info.need();
            if (need == null) {
                continue; // Loading it says why.
            }
            each.add(info.name() + " " + MemoryNeed.mib(need.totalBytes() - need.keptBytes()));
            sum = new MemoryNeed(
                    sum.weightBytes() + need.weightBytes(),
                    sum.kvBytes() + need.kvBytes(),
                    sum.workBytes() + need.workBytes(),
                    Math.max(sum.keptBytes(), need.keptBytes()),
                    sum.swapBytes() + need.swapBytes(),
                    need.swapApart(),
                    need.availableBytes(),
                    need.deviceBytes());
        }
        if (sum.shortByBytes() > 0) {
            throw sum.tooMuch("The sum of all models (" + String.join(", ", each) + " MiB)", Engines.weights(options));
        }
    }

    private static void checkNames(List<String> specs) {
        Map<String, String> owners = new HashMap<>();
        for (String spec : specs) {
            ModelLocator.Names names = names(spec);
            Set<String> all = new LinkedHashSet<>(names.aliases());
            all.add(names.name());
            for (String name : all) {
                String other = owners.put(name, spec);
                if (other != null) {
                    throw new MillraceException(
                            "MR-SERVE-009",
                            "--model " + other + " and --model " + spec + " would both be served as " + name
                                    + ". Give one of them a name of its own: --model NAME=" + bare(spec) + ".");
                }
            }
        }
    }
}
