package io.millrace.worker.backend.cpu;

import java.net.URISyntaxException;
import java.nio.file.FileSystemNotFoundException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.CodeSource;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Where the native kernels are. */
public final class KernelLibrary {

    /** The CPU's: the variable that names the library itself, and its name. */
    private static final KernelLibrary CPU = new KernelLibrary("MILLRACE_KERNELS", "millrace", NativeDevice.CPU);

    /** Its number in {@code millrace.h}. */
    private static final int PORTABLE = 1;

    private final String variable;
    private final String name;
    private final NativeDevice device;

    KernelLibrary(String variable, String name, NativeDevice device) {
        this.variable = variable;
        this.name = System.mapLibraryName(name);
        this.device = device;
    }

    /**
     * The CPU's library: what {@code MILLRACE_KERNELS} names, or the one built in the project's folder, or one beside our jar; empty when
     * there is none.
     */
    public static Optional<Path> find() {
        return CPU.anywhere();
    }

    static Optional<Path> find(Map<String, String> environment, Path folder) {
        return CPU.in(environment, folder);
    }

    Optional<Path> anywhere() {
        return in(System.getenv(), Path.of("").toAbsolutePath()).or(this::besideJar);
    }

    private Optional<Path> besideJar() {
        CodeSource source = KernelLibrary.class.getProtectionDomain().getCodeSource();
        if (source == null) {
            return Optional.empty();
        }
        try {
            Path library = Path.of(source.getLocation().toURI()).resolveSibling(name);
            return Optional.of(library).filter(Files::isRegularFile);
        } catch (URISyntaxException | IllegalArgumentException | FileSystemNotFoundException e) {
            return Optional.empty();
        }
    }

    private Optional<Path> in(Map<String, String> environment, Path folder) {
        String named = environment.getOrDefault(variable, "");
        if (!named.isBlank()) {
            Path path = Path.of(named).toAbsolutePath();
            if (!Files.isRegularFile(path)) {
                throw device.notFound(variable + " names " + path + ", which is no file. Correct or unset it.");
            }
            return Optional.of(path);
        }
        List<Path> folders = new ArrayList<>();
        String home = environment.getOrDefault("MILLRACE_HOME", "");
        if (!home.isBlank()) {
            folders.add(Path.of(home).toAbsolutePath());
        }
        folders.add(folder);
        if (folder.getParent() != null) {
            folders.add(folder.getParent());
        }
        return folders.stream()
                .map(f -> f.resolve(Path.of("kernels", "build", name)))
                .filter(Files::isRegularFile)
                .findFirst();
    }

    /**
     * Whether this processor has vector instructions that the library knows. MR-CPU-001 when it cannot be loaded, MR-CPU-005 when MILLRACE_ISA
     * names no instruction set of it.
     */
    public static boolean isFast(Path library) {
        return NativeKernels.open(library).bestIsa() > PORTABLE;
    }

    /**
     * What the library makes of this machine, for people, as in "avx512 (avx2, portable)". MR-CPU-001 when it cannot be loaded, MR-CPU-005
     * when MILLRACE_ISA names no instruction set of it.
     */
    public static String describe(Path library) {
        NativeKernels kernels = NativeKernels.open(library);
        List<String> others = new ArrayList<>();
        int best = kernels.bestIsa();
        for (int isa = best - 1; isa >= 1; isa--) {
            if (kernels.isaAvailable(isa)) {
                others.add(kernels.isaName(isa));
            }
        }
        return kernels.isaName(best) + (others.isEmpty() ? "" : " (also " + String.join(", ", others) + ")");
    }
}
