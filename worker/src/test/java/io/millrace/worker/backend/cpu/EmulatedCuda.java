package io.millrace.worker.backend.cpu;

import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Assumptions;

/** The library of CUDA kernels that run on the CPU, under their emulator. */
public final class EmulatedCuda {

    private EmulatedCuda() {}

    /** Skips the calling test, saying why, when it was not built. */
    public static Path library() {
        Path library = new KernelLibrary("", "millrace_cuda_emulated", NativeDevice.CUDA)
                .anywhere()
                .orElse(Path.of("none"));
        if (!Files.isRegularFile(library)) {
            String reason = "SKIPPED, the emulated CUDA kernels are not built: run kernels/build.sh tests, with CMake";
            System.err.println(reason);
            Assumptions.abort(reason);
        }
        return library;
    }
}
