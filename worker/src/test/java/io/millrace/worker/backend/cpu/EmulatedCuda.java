package io.millrace.worker.backend.cpu;

import io.millrace.worker.backend.StepLimits;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Assumptions;

/** The library of CUDA kernels that run on the CPU, under their emulator. */
public final class EmulatedCuda {

    /** Of steps in tests. */
    public static final StepLimits LIMITS = new StepLimits(64, 8);

    private EmulatedCuda() {}

    /** That of a device instead, where the property {@code test.cuda.library} names it. Skips the calling test, saying why, when it was not built. */
    public static Path library() {
        String named = System.getProperty("test.cuda.library", "");
        return !named.isEmpty() ? Path.of(named) : built("millrace_cuda_emulated", "the emulated CUDA kernels are");
    }

    /** A library that {@code kernels/build.sh tests} makes; skips the calling test, saying why, when it was not built. */
    static Path built(String name, String what) {
        Path library = new KernelLibrary("", name, NativeDevice.CUDA).anywhere().orElse(Path.of("none"));
        if (!Files.isRegularFile(library)) {
            String reason = "SKIPPED, " + what + " not built: run kernels/build.sh tests, with CMake";
            System.err.println(reason);
            Assumptions.abort(reason);
        }
        return library;
    }

    /** From now on models that want products by cuBLASLt find one that multiplies by a plain loop. */
    public static void plainCublasLt() {
        Path plain = Objects.requireNonNull(library().getParent()).resolve("libplain_cublaslt.so");
        Linker linker = Linker.nativeLinker();
        MethodHandle handle = linker.downcallHandle(
                linker.defaultLookup().findOrThrow("setenv"),
                FunctionDescriptor.of(
                        ValueLayout.JAVA_INT, ValueLayout.ADDRESS, ValueLayout.ADDRESS, ValueLayout.JAVA_INT));
        try (Arena arena = Arena.ofConfined()) {
            int status = (int) handle.invokeExact(
                    arena.allocateFrom("MILLRACE_CUBLASLT"), arena.allocateFrom(plain.toString()), 1);
            if (status != 0) {
                throw new AssertionError("setenv: " + status);
            }
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }

    /** A kernel faults after so many launches of the whole process, once; negative: none does. */
    public static void faultAfter(long launches) {
        MemorySegment function =
                SymbolLookup.libraryLookup(library(), Arena.global()).findOrThrow("emulated_cuda_fault_after");
        MethodHandle handle =
                Linker.nativeLinker().downcallHandle(function, FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG));
        try {
            handle.invokeExact(launches);
        } catch (Throwable e) {
            throw new AssertionError(e);
        }
    }
}
