package io.millrace.worker.serving;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.backend.cpu.CudaBackend;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What of NVIDIA's is on this machine, found without touching a device.
 *
 * @param library of the CUDA kernels; null: not built
 * @param unusable why the library that was named is none; null: it is, or none was
 * @param driver whether there is one, or the library was named by a person and is to be asked
 * @param device whether the system has one
 * @param hidden whether the environment keeps all devices from CUDA
 */
record NvidiaMachine(
        @Nullable Path library, @Nullable MillraceException unusable, boolean driver, boolean device, boolean hidden) {

    /** As CUDA's runtime looks for it. */
    private static final String DRIVER = "libcuda.so.1";

    /** What drivers make: of Linux, also before anything has used a device; of the Linux in Windows; of boards with a GPU in the processor. */
    private static final List<Path> DEVICES = List.of(
            Path.of("/dev/nvidiactl"),
            Path.of("/proc/driver/nvidia/version"),
            Path.of("/dev/dxg"),
            Path.of("/dev/nvmap"));

    private static final String VISIBLE = "CUDA_VISIBLE_DEVICES";
    private static final List<String> NONE = List.of("", "-1", "none", "void", "NoDevFiles");

    static NvidiaMachine look() {
        Map<String, String> environment = System.getenv();
        boolean device = DEVICES.stream().anyMatch(Files::exists);
        boolean hidden = NONE.contains(environment.getOrDefault(VISIBLE, "all").strip());
        try {
            Path library = CudaBackend.find().orElse(null);
            boolean named =
                    !environment.getOrDefault("MILLRACE_CUDA_KERNELS", "").isBlank();
            boolean driver = library != null && (named || device && hasDriver());
            return new NvidiaMachine(library, null, driver, device, hidden);
        } catch (MillraceException e) {
            return new NvidiaMachine(null, e, false, device, hidden);
        }
    }

    private static boolean hasDriver() {
        try (Arena arena = Arena.ofConfined()) {
            SymbolLookup.libraryLookup(DRIVER, arena);
            return true;
        } catch (IllegalArgumentException absent) {
            return false;
        }
    }
}
