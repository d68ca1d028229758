package io.millrace.worker.backend.check;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.KvOptions;
import io.millrace.worker.backend.KvType;
import io.millrace.worker.backend.LoadProgress;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepLimits;
import io.millrace.worker.backend.cpu.CpuBackend;
import io.millrace.worker.backend.cpu.CpuSettings;
import io.millrace.worker.backend.cpu.CudaBackend;
import io.millrace.worker.model.decoder.Decoder;
import io.millrace.worker.model.weights.WeightSource;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * Whether the CUDA kernels compute what they should on the device of this machine: a small model with the ops, types of weights and heads of a given one runs there,
 * and its logits are compared with those of the CPU kernels in float32, and with themselves in another batch. A fault of a kernel ends all
 * that this process can do on the device, and nothing bounds a hang: run it in a process of its own. Stateless.
 */
public final class CudaCheck {

    /** Code of a check that was not passed. */
    public static final String FAILED = "MR-CUDA-005";

    /** The rounding of inputs to bf16, as of golden models in the tests; a cache, or inputs, of 8 bits. */
    private static final double ROUNDED = 0.06;

    private static final double BYTES = 2 * ROUNDED;

    /** Where rounding may send a token to other experts, between which pieces of weights decide more closely than a whole model. */
    private static final double EXPERTS = 0.25;

    /** Float32 throughout. */
    private static final double EXACT = 1e-3;

    private static final int MOST_THREADS = 8;

    private CudaCheck() {}

    /**
     * Checks the kernels that a model needs.
     *
     * @param cuda their library
     * @param cpu the library of what they are compared with
     * @param type of the model's cache
     * @param settings how the model is to be computed
     * @return what was compared and how far it differed, for people
     * @throws MillraceException MR-CUDA-005 when they differ, with the numbers, and what {@link CudaBackend#load} throws
     */
    public static String run(
            Path cuda, Path cpu, Decoder decoder, WeightSource source, KvType type, CpuSettings settings) {
        return run(cuda, cpu, SmallModel.of(decoder, source, SmallConfig.WIDTH), type, settings);
    }

    /** The same of a model that is small already. */
    static String run(Path cuda, Path cpu, SmallModel small, KvType type, CpuSettings settings) {
        Decoder program = small.decoder();
        KvOptions cache = new KvOptions(CheckSteps.BLOCK_TOKENS, CheckSteps.BLOCKS, 0, CheckSteps.MAX_LENGTH);
        int threads = Math.min(MOST_THREADS, Runtime.getRuntime().availableProcessors());
        List<float[]> expected;
        CpuSettings exact = CpuSettings.of("float", false, "", "invariant");
        try (ModelRuntime runtime = CpuBackend.load(cpu, program, small, cache, threads, exact, LoadProgress.NONE)) {
            expected = new CheckSteps(runtime).alone();
        }
        StepLimits limits = new StepLimits(CheckSteps.ROWS, CheckSteps.LOGIT_ROWS);
        try (ModelRuntime runtime =
                CudaBackend.load(cuda, program, small, cache.withType(type), 1, settings, limits, LoadProgress.NONE)) {
            return compare(new CheckSteps(runtime), expected, bound(program, type, settings));
        }
    }

    private static double bound(Decoder program, KvType type, CpuSettings settings) {
        boolean rounded = settings.precision() != CpuSettings.Precision.F32 || type != KvType.F32;
        double bound = !rounded ? EXACT : program.config().experts() == null ? ROUNDED : EXPERTS;
        boolean bytes = type == KvType.INT8 || type == KvType.FP8 || settings.precision() == CpuSettings.Precision.FP8;
        return bytes ? Math.max(bound, BYTES) : bound;
    }

    private static String compare(CheckSteps steps, List<float[]> expected, double bound) {
        List<float[]> alone = steps.alone();
        double difference = CheckSteps.difference(alone, expected);
        String distance = String.format(
                Locale.ROOT,
                "logits %.2g from the CPU kernels' in float32, relative to their deviation (at most %.2g)",
                difference,
                bound);
        if (!(difference <= bound)) {
            throw failed("gives " + distance);
        }
        String differences = CheckSteps.differences(alone, steps.together());
        if (differences != null) {
            throw failed("gives other bits to a sequence in a batch than by itself: " + differences);
        }
        if (steps.wrongIds() > 0) {
            throw failed("chooses " + steps.wrongIds() + " ids that have not the largest logit");
        }
        return distance + ", the same bits by itself and in a batch, " + steps.steps() + " steps";
    }

    /** @param what the device does, after "it" */
    private static MillraceException failed(String what) {
        return new MillraceException(
                FAILED,
                "The GPU failed its check: a small model of the same ops and types " + what
                        + ". This is a fault of our kernels on this chip, or of the chip; please report it.");
    }
}
