package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The program {@code kernel_bench} beside the kernels' library: what the machine gives, and what single kernels make of it. */
final class MachineProbe {

    /**
     * One look at the machine.
     *
     * @param readGbS read bandwidth of all threads
     * @param scaling two threads' work in the time of one, 2 at best
     */
    record Sample(double readGbS, double scaling) {

        /** The worse of both looks. */
        Sample and(Sample other) {
            return new Sample(Math.min(readGbS, other.readGbS), Math.min(scaling, other.scaling));
        }
    }

    private final JsonMapper json = new JsonMapper();
    private final Path program;
    private final int threads;

    /** MR-BENCH-004 when it is not built. */
    MachineProbe(int threads) {
        Path home = Path.of(System.getenv().getOrDefault("MILLRACE_HOME", "."));
        this.program = home.resolve("kernels").resolve("build").resolve("kernel_bench");
        this.threads = threads;
        if (!Files.isExecutable(program)) {
            throw new MillraceException(
                    "MR-BENCH-004",
                    program + " is not built. Install CMake and a C++20 compiler, then run kernels/build.sh tests.");
        }
    }

    Sample look() {
        JsonNode line = run(List.of("--probe", "1")).getFirst();
        return new Sample(
                line.path("read_gb_s").asDouble(), line.path("scaling").asDouble());
    }

    /** Runs the program and returns its lines. */
    List<JsonNode> run(List<String> arguments) {
        return run(arguments, null);
    }

    /** The same, with each line printed as it comes. */
    List<JsonNode> run(List<String> arguments, @Nullable PrintWriter print) {
        List<String> command = new ArrayList<>(List.of(program.toString(), "--threads", "" + threads));
        command.addAll(arguments);
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).start();
            List<JsonNode> lines = new ArrayList<>();
            StringBuilder other = new StringBuilder();
            try (var reader = process.inputReader(StandardCharsets.UTF_8)) {
                for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                    if (line.startsWith("{")) {
                        lines.add(json.readTree(line));
                    } else {
                        other.append(line).append(' ');
                    }
                    if (print != null) {
                        print.println(line);
                        print.flush();
                    }
                }
            }
            if (process.waitFor() != 0 || lines.isEmpty()) {
                throw new MillraceException(
                        "MR-BENCH-004", program + " failed: " + other.toString().strip());
            }
            return lines;
        } catch (IOException e) {
            throw new MillraceException("MR-BENCH-004", program + " cannot be run (" + e + ").", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-BENCH-004", program + " was interrupted.", e);
        }
    }
}
