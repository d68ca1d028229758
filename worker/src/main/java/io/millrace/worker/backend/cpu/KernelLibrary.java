package io.millrace.worker.backend.cpu;

import io.millrace.shared.error.MillraceException;
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

    /** Names the library itself. */
    private static final String VARIABLE = "MILLRACE_KERNELS";

    private static final String NAME = System.mapLibraryName("millrace");
    private static final Path BUILT = Path.of("kernels", "build", NAME);

    /** Its number in {@code millrace.h}. */
    private static final int PORTABLE = 1;

    private KernelLibrary() {}

    /**
     * The library: what {@code MILLRACE_KERNELS} names, or the one built in the project's folder, or one beside our jar; empty when there
     * is none.
     */
    public static Optional<Path> find() {
        return find(System.getenv(), Path.of("").toAbsolutePath()).or(KernelLibrary::besideJar);
    }

    private static Optional<Path> besideJar() {
        CodeSource source = KernelLibrary.class.getProtectionDomain().getCodeSource();
        if (source == null) {
            return Optional.empty();
        }
        try {
            Path library = Path.of(source.getLocation().toURI()).resolveSibling(NAME);
            return Optional.of(library).filter(Files::isRegularFile);
        } catch (URISyntaxException | IllegalArgumentException | FileSystemNotFoundException e) {
            return Optional.empty();
        }
    }

    static Optional<Path> find(Map<String, String> environment, Path folder) {
        String named = environment.getOrDefault(VARIABLE, "");
        if (!named.isBlank()) {
            Path path = Path.of(named).toAbsolutePath();
            if (!Files.isRegularFile(path)) {
                throw new MillraceException(
                        "MR-CPU-001", VARIABLE + " names " + path + ", which is no file. Correct or unset it.");
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
                .map(f -> f.resolve(BUILT))
                .filter(Files::isRegularFile)
                .findFirst();
    }

    /** Whether this processor has vector instructions that the library knows. MR-CPU-001 when it cannot be loaded. */
    public static boolean isFast(Path library) {
        return NativeKernels.open(library).bestIsa() > PORTABLE;
    }

    /** What the library makes of this machine, for people, as in "avx512 (avx2, portable)". MR-CPU-001 when it cannot be loaded. */
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
