package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.check.CudaCheck;
import io.millrace.worker.backend.cpu.KernelLibrary;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Whether {@code auto} is the GPU: where the CUDA kernels are built, driver and chip can run them, the model and its cache fit, and a check on that chip is passed. Says in the
 * log what it found. Thread-safe.
 */
final class AutoEngine {

    private static final Logger LOG = LoggerFactory.getLogger(AutoEngine.class);

    private static final String DRIVER = "MR-CUDA-002";

    private final Supplier<NvidiaMachine> machine;
    private final Check check;

    /** A check of the GPU, as {@link GpuCheckProcess#check}. */
    @FunctionalInterface
    interface Check {
        GpuAnswer of(Path cuda, Path cpu, String model, ModelOptions options);
    }

    AutoEngine(Supplier<NvidiaMachine> machine, Check check) {
        this.machine = machine;
        this.check = check;
    }

    static AutoEngine ofMachine() {
        return new AutoEngine(NvidiaMachine::look, GpuCheckProcess.DEFAULT::check);
    }

    /**
     * What was found.
     *
     * @param answer of the check; null: there was none, as nothing can be checked
     * @param why there was none; empty: there is nothing to say
     * @param trouble whether that is something to be put right
     */
    record Found(@Nullable GpuAnswer answer, String why, boolean trouble) {

        boolean usable() {
            return answer != null && answer.passed();
        }
    }

    /** Looks and checks, and says nothing. @param model its files; empty: a plain one */
    Found find(String model, ModelOptions options) {
        NvidiaMachine here = machine.get();
        Path library = here.library();
        if (here.unusable() != null) {
            return new Found(null, here.unusable().toString(), true);
        }
        if (library == null) {
            return new Found(
                    null,
                    here.device()
                            ? "the CUDA kernels are not built (MR-CUDA-001; kernels/cuda/build.sh makes them)"
                            : "",
                    false);
        }
        if (here.hidden()) {
            return new Found(null, "CUDA_VISIBLE_DEVICES hides all devices", false);
        }
        if (!here.driver()) {
            String lacks = here.device() ? "driver (libcuda.so.1)" : "device";
            return new Found(null, "no NVIDIA " + lacks + " here (" + DRIVER + ")", false);
        }
        Optional<Path> cpu = cpuKernels();
        return cpu.isEmpty()
                ? new Found(
                        null,
                        "the GPU cannot be checked (" + CudaCheck.FAILED
                                + "), as the CPU kernels, with which it is compared, are not built (./millrace build makes them)",
                        true)
                : new Found(check.of(library, cpu.get(), model, options), "", true);
    }

    private static Optional<Path> cpuKernels() {
        try {
            return KernelLibrary.find();
        } catch (MillraceException e) {
            return Optional.empty();
        }
    }

    /** Whether a model for which no engine was named is to run on the GPU. */
    boolean takes(ModelFiles files, ModelOptions options) {
        Path path = files.path();
        Found found = find(path.toString(), options);
        GpuAnswer answer = found.answer();
        if (answer != null && answer.passed()) {
            LOG.info(
                    "{} runs on the GPU: {}; checked in {}: {}",
                    path.getFileName(),
                    answer.device(),
                    answer.seconds(),
                    answer.found());
            return true;
        }
        String host = Backends.host();
        if (answer != null && answer.refusal() != null) {
            fallsBack(files, answer.device(), answer.refusal());
        } else if (found.trouble()) {
            LOG.warn(
                    "{} does not run on the GPU: {}. It runs on the {} engine.", path.getFileName(), found.why(), host);
        } else if (!found.why().isEmpty()) {
            LOG.info("No GPU: {}; {} runs on the {} engine.", found.why(), path.getFileName(), host);
        }
        return false;
    }

    /** Whether a load that failed so on the GPU is tried on the processor: not after a fault, which only a new process is rid of. */
    static boolean isOfDevice(MillraceException e) {
        return !e.code().equals(ModelRuntime.DEVICE_LOST)
                && (e.code().startsWith("MR-CUDA-") || e.code().startsWith("MR-MEM-"));
    }

    /** Says that a model does not run on the GPU, why, and how to have it there all the same. @param device empty: not known */
    static void fallsBack(ModelFiles files, String device, MillraceException why) {
        String text = why.toString();
        LOG.warn(
                "{} does not run on the GPU{}: {} It runs on the {} engine instead; --engine cuda {}.",
                files.path().getFileName(),
                device.isEmpty() || text.contains(device) || device.startsWith("not ") ? "" : " (" + device + ")",
                text,
                Backends.host(),
                why.code().equals(CudaCheck.FAILED) || KvBudget.isTooShort(why)
                        ? "runs it on the GPU all the same"
                        : "ends with this error instead");
    }
}
