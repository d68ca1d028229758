package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.telemetry.Dashboards;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assumptions;

/** The tree's compose.yaml as a project of its own, by the command {@code docker compose}. */
final class ComposeProject implements AutoCloseable {

    private static final int MOST_S = 300;

    private final String name;
    private final List<String> files;
    private final Map<String, String> environment;

    /** A command that ended. */
    record Ran(int status, String output) {}

    /**
     * @param override a file beside the tree's own
     * @param environment variables of compose.yaml
     */
    ComposeProject(String name, Path override, Map<String, String> environment) {
        this.name = name;
        this.files = List.of(
                "-f",
                Dashboards.ROOT.resolve("compose.yaml").toString(),
                "-f",
                override.toAbsolutePath().toString());
        this.environment = new TreeMap<>(environment);
    }

    /** Skips the calling test, aloud, where the compose plugin is missing. */
    static void requirePlugin(String test) throws Exception {
        if (ClientPrograms.onPath("docker").isEmpty()
                || run(Map.of(), List.of("docker", "compose", "version")).status() != 0) {
            skip(test, "no docker with its compose plugin is on the PATH; '.ci/docker compose DIR' builds the plugin");
        }
    }

    /** As {@link #requirePlugin}, and where no engine answers or it has no such image. */
    static void requireEngine(String test, String image) throws Exception {
        requirePlugin(test);
        if (run(Map.of(), List.of("docker", "version")).status() != 0) {
            skip(
                    test,
                    "no Docker engine answers (DOCKER_HOST is "
                            + System.getenv().getOrDefault("DOCKER_HOST", "unset")
                            + "); ChaosTest does the same with processes");
        }
        if (run(Map.of(), List.of("docker", "image", "inspect", image)).status() != 0) {
            skip(
                    test,
                    "the engine has no image " + image
                            + "; './millrace image-context' and '.ci/docker millrace' build one, TEST_MILLRACE_IMAGE names another");
        }
    }

    private static void skip(String test, String reason) {
        String message = "SKIPPED " + test + ": " + reason;
        System.err.println(message);
        Assumptions.abort(message);
    }

    /** Runs {@code docker compose}, which must succeed; returns what it says. */
    String compose(String... arguments) throws Exception {
        Ran ran = tryCompose(arguments);
        assertThat(ran.status())
                .as("docker compose %s: %s", String.join(" ", arguments), ran.output())
                .isZero();
        return ran.output();
    }

    Ran tryCompose(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("docker", "compose", "-p", name));
        command.addAll(files);
        command.addAll(List.of(arguments));
        return run(environment, command);
    }

    /** Runs {@code docker} itself, which must succeed. */
    String docker(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of("docker"));
        command.addAll(List.of(arguments));
        Ran ran = run(environment, command);
        assertThat(ran.status()).as("%s: %s", command, ran.output()).isZero();
        return ran.output().strip();
    }

    /** Ids of a service's running containers. */
    List<String> containers(String service) throws Exception {
        return compose("ps", "-q", service).lines().toList();
    }

    private static Ran run(Map<String, String> environment, List<String> command)
            throws IOException, InterruptedException {
        Path output = Files.createTempFile("millrace-compose", ".out");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().putAll(environment);
        Process process = builder.start();
        try {
            boolean ended = process.waitFor(MOST_S, TimeUnit.SECONDS);
            String said = Files.readString(output, StandardCharsets.UTF_8);
            return ended
                    ? new Ran(process.exitValue(), said)
                    : new Ran(-1, said + "\nstill runs after " + MOST_S + " s");
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
            Files.delete(output);
        }
    }

    /** Removes its containers, networks and volumes. */
    @Override
    public void close() throws Exception {
        tryCompose("kill");
        compose("down", "--volumes", "--timeout", "1");
    }
}
