package io.millrace.standalone.telemetry;

import io.millrace.shared.net.FreePort;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.opentest4j.TestAbortedException;

/** Programs of others that some tests need: in {@code bin} of the folder that TEST_TOOLS names, or of {@code .millrace/tools}. */
public final class RealTools {

    private static final int START_TRIES = 3;

    private RealTools() {}

    private static @Nullable Path find(String program) {
        Path found = folder().resolve("bin").resolve(program);
        return Files.isExecutable(found) ? found : null;
    }

    public static Path folder() {
        String named = System.getenv("TEST_TOOLS");
        return named == null ? Dashboards.ROOT.resolve(".millrace/tools") : Path.of(named);
    }

    /** The programs of those names; skips the calling test, aloud, where one is missing. */
    public static List<Path> require(String test, String... programs) {
        return Stream.of(programs)
                .map(program -> {
                    Path found = find(program);
                    if (found == null) {
                        String message = "SKIPPED " + test + ": no " + program + " in "
                                + folder().resolve("bin")
                                + "; observability/tools/install-*.sh bring it, TEST_TOOLS names another folder";
                        System.err.println(message);
                        throw new TestAbortedException(message);
                    }
                    return found;
                })
                .toList();
    }

    /**
     * Runs a script of observability/tools, and waits for it.
     *
     * @throws IOException with what it printed, if it fails
     */
    public static void script(Map<String, String> environment, String name, String... arguments)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Dashboards.ROOT.resolve("observability/tools").resolve(name).toString());
        command.addAll(List.of(arguments));
        var builder = new ProcessBuilder(command).redirectErrorStream(true);
        builder.environment().putAll(environment);
        Process process = builder.start();
        String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        int status = process.waitFor();
        if (status != 0) {
            throw new IOException(command + " ended with " + status + ": " + printed);
        }
    }

    /**
     * Starts the Jaeger of {@link #folder} on ports that are free, and waits for it. {@code start-jaeger.sh DIR stop} ends it.
     *
     * @param dir for what it writes
     * @return its ports, by the names that start-jaeger.sh gives them
     */
    public static Map<String, String> startJaeger(Path dir) throws IOException, InterruptedException {
        Files.createSymbolicLink(dir.resolve("bin"), folder().resolve("bin"));
        List<String> names = List.of("OTLP_GRPC", "OTLP_HTTP", "QUERY", "QUERY_GRPC", "HEALTH", "METRICS");
        for (int tried = 1; ; tried++) {
            Map<String, String> ports = new TreeMap<>();
            List<Integer> free = FreePort.several(names.size(), null);
            for (int i = 0; i < names.size(); i++) {
                ports.put(names.get(i), free.get(i).toString());
            }
            try {
                script(ports, "start-jaeger.sh", dir.toString());
                return ports;
            } catch (IOException failed) { // Another program may have taken a port since.
                if (tried == START_TRIES) {
                    throw failed;
                }
                System.err.println(failed.getMessage());
            }
        }
    }
}
