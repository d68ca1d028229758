package io.millrace.worker.serving;

/**
 * What {@code auto} makes of this machine, for people.
 *
 * @param kernels chip, driver and free memory, or "not " and why the CUDA kernels do not run
 * @param check whether the check of the GPU was passed, with its numbers, or "not " and why not; empty: nothing is there to be checked
 * @param engine what runs models for which no engine is named, and why
 */
public record GpuReport(String kernels, String check, String engine) {

    /** Looks, and checks a plain model where there is a driver. MR-CPU-005 when MILLRACE_ISA names no instruction set of this processor. */
    public static GpuReport make() {
        return of(AutoEngine.ofMachine(), Backends.automatic());
    }

    /** @param host the engine of the processor, and why */
    static GpuReport of(AutoEngine auto, String host) {
        AutoEngine.Found found = auto.find("", ModelOptions.DEFAULT);
        GpuAnswer answer = found.answer();
        if (answer == null) {
            return new GpuReport(
                    found.why().isEmpty()
                            ? "not built (not needed): kernels/cuda/build.sh makes them"
                            : "not usable: " + found.why(),
                    "",
                    host + (found.why().isEmpty() ? "" : "; not cuda: " + found.why()));
        }
        String device = answer.device().isEmpty() ? "not known" : answer.device();
        if (answer.refusal() == null) {
            return new GpuReport(
                    device,
                    "passed in " + answer.seconds() + ": " + answer.found(),
                    "cuda, as the GPU passes its check; "
                            + host.replace(", as ", " where a model does not fit there, as "));
        }
        boolean unusable = answer.refusal().code().equals("MR-CUDA-002");
        return new GpuReport(
                device,
                unusable ? "" : "not passed after " + answer.seconds() + ": " + answer.refusal(),
                host + "; not cuda: " + (unusable ? "it is not usable" : "the GPU did not pass its check"));
    }
}
