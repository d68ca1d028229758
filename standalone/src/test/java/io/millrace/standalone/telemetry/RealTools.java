package io.millrace.standalone.telemetry;

import java.io.IOException;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** Programs of others that some tests need: in {@code bin} of the folder that TEST_TOOLS names, or of {@code .millrace/tools}. */
public final class RealTools {

    private RealTools() {}

    /** The program; null where there is none. */
    public static @Nullable Path find(String program) {
        Path found = folder().resolve("bin").resolve(program);
        return Files.isExecutable(found) ? found : null;
    }

    public static Path folder() {
        String named = System.getenv("TEST_TOOLS");
        return named == null ? Dashboards.ROOT.resolve(".millrace/tools") : Path.of(named);
    }

    /** Why a test is skipped. */
    public static String absent(String program) {
        return "no " + program + " in " + folder().resolve("bin")
                + ": observability/tools/install-*.sh bring it, TEST_TOOLS names another folder";
    }

    /** Runs a script of observability/tools, and waits for it. */
    public static void script(Map<String, String> environment, String name, String... arguments)
            throws IOException, InterruptedException {
        var command = new java.util.ArrayList<String>();
        command.add(Dashboards.ROOT.resolve("observability/tools").resolve(name).toString());
        command.addAll(java.util.List.of(arguments));
        var process = new ProcessBuilder(command).inheritIO();
        process.environment().putAll(environment);
        int status = process.start().waitFor();
        if (status != 0) {
            throw new IOException(command + " ended with " + status);
        }
    }

    public static int freePort() throws IOException {
        try (var socket = new ServerSocket(0)) {
            return socket.getLocalPort();
        }
    }
}
