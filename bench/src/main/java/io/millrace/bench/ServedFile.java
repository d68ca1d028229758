package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import io.millrace.standalone.Main;
import io.millrace.standalone.process.Children;
import io.millrace.standalone.process.ProgramProcesses;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A model file served by a process of its own, which can be paused while another is measured. It ends with this process, also when that is told to end. */
final class ServedFile implements AutoCloseable {

    static final String MILLRACE = "millrace";

    static final String LLAMA = "llama-server";

    /** The environment of a server that sees no GPU. */
    private static final Map<String, String> PROCESSOR = Map.of("CUDA_VISIBLE_DEVICES", "-1");

    private static final long READY_S_MAX = 180;
    private static final int POLL_MS = 50;
    private static final int END_S_MAX = 20;
    /** Of our threads, by the beginnings of their names. Linux cuts those of Kafka's producers before their owner. */
    private static final Map<String, String> PARTS = parts();

    private final String name;
    private final Process process;

    /** One that is paused hears of nothing, and the other program does not watch its parent. */
    private final Thread killer;

    private final Map<String, String> parts;
    private final String rest;
    private final String url;
    private final String model;
    private volatile boolean paused;

    private static Map<String, String> parts() {
        Map<String, String> parts = new LinkedHashMap<>();
        parts.put("millrace-engine", "engine");
        parts.put("kernels-", "engine");
        parts.put("millrace-output", "worker");
        parts.put("worker-", "worker");
        parts.put("gateway-", "gateway");
        parts.put("webflux-", "gateway");
        parts.put("router-", "router");
        parts.put("kafka-producer-", "producers");
        parts.put("C1 Comp", "compilers");
        parts.put("C2 Comp", "compilers");
        parts.put("GC ", "collector");
        parts.put("G1 ", "collector");
        parts.put("VM ", "collector");
        return parts;
    }

    /**
     * Starts {@code ./millrace up} on the processor, as its peer runs, on the options of this JVM.
     *
     * @param dir for its data and what it says
     */
    static ServedFile millrace(Path file, Path dir) throws InterruptedException {
        return millrace(file, dir, PROCESSOR, List.of());
    }

    /**
     * The same on the engine that it chooses for that environment, with more arguments.
     *
     * @param dir for its data and what it says; nothing of another is in it
     */
    static ServedFile millrace(Path file, Path dir, Map<String, String> environment, List<String> arguments)
            throws InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(ManagementFactory.getRuntimeMXBean().getInputArguments());
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), Main.class.getName()));
        command.addAll(List.of("up", "--model", file.toString(), "--port", "0", "--kafka-port", "0"));
        command.addAll(List.of("--data-dir", dir.resolve("data").toString(), Children.CHILD_FLAG));
        command.addAll(arguments);
        // The call that it shows as an example names the model.
        Pattern ready = Pattern.compile(
                "\"model\":\"(?<model>[^\"]+)\".*" + Children.READY + "(?<url>http://\\S+)", Pattern.DOTALL);
        return new ServedFile(MILLRACE, command, environment, dir, ready, PARTS, "broker");
    }

    /**
     * Starts llama.cpp's server in its best settings for that many streams.
     *
     * @param folder with the program
     * @param context tokens of each stream
     */
    static ServedFile llama(Path folder, Path file, int streams, int context, Path dir) throws InterruptedException {
        Path program = folder.resolve(LLAMA).toAbsolutePath().normalize();
        if (!Files.isExecutable(program)) {
            throw new MillraceException(
                    "MR-BENCH-005",
                    program + " is no program. Build " + LLAMA
                            + " there, or leave --llama out: ours is then measured alone.");
        }
        String threads = "" + Runtime.getRuntime().availableProcessors();
        List<String> command = new ArrayList<>(List.of(program.toString(), "-m", file.toString(), "--port", "0"));
        command.addAll(List.of("-t", threads, "-tb", threads, "-np", "" + streams, "-c", "" + streams * context));
        // It need not keep what each prompt left: no two are alike.
        command.addAll(List.of("--cache-ram", "0"));
        // It takes any name for its model.
        Pattern ready = Pattern.compile(
                "(?<model>model loaded).*listening on (?<url>http://[^\\s/]+:[1-9]\\d*)", Pattern.DOTALL);
        Map<String, String> environment = new TreeMap<>(PROCESSOR);
        environment.put("OMP_PROC_BIND", "true");
        environment.put("OMP_WAIT_POLICY", "active");
        return new ServedFile(LLAMA, command, environment, dir, ready, Map.of(), "server");
    }

    private ServedFile(
            String name,
            List<String> command,
            Map<String, String> environment,
            Path dir,
            Pattern ready,
            Map<String, String> parts,
            String rest)
            throws InterruptedException {
        this.name = name;
        this.parts = parts;
        this.rest = rest;
        Path output = dir.resolve(name + ".out");
        ProcessBuilder builder =
                new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile());
        builder.environment().putAll(environment);
        try {
            this.process = builder.start();
        } catch (IOException e) {
            throw failed("cannot be started (" + e + ")", output);
        }
        this.killer = Thread.ofPlatform().name("kill-" + name).unstarted(process::destroyForcibly);
        Runtime.getRuntime().addShutdownHook(killer);
        try {
            Matcher found = await(ready, output);
            this.model = found.group("model");
            this.url = found.group("url");
        } catch (RuntimeException | InterruptedException e) {
            process.destroyForcibly();
            forget();
            throw e;
        }
    }

    private Matcher await(Pattern ready, Path output) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(READY_S_MAX);
        while (System.nanoTime() < end) {
            Matcher found = ready.matcher(said(output));
            if (found.find()) {
                return found;
            }
            if (process.waitFor(POLL_MS, TimeUnit.MILLISECONDS)) {
                throw failed("ended with " + process.exitValue(), output);
            }
        }
        throw failed("was not ready after " + READY_S_MAX + " s", output);
    }

    private static String said(Path output) {
        try {
            return Files.exists(output) ? Files.readString(output, StandardCharsets.ISO_8859_1) : "";
        } catch (IOException e) {
            return "(" + e + ")";
        }
    }

    private MillraceException failed(String what, Path output) {
        String said = said(output);
        return new MillraceException(
                "MR-BENCH-005",
                name + " " + what + ": "
                        + said.substring(Math.max(0, said.length() - 500)).strip());
    }

    String name() {
        return name;
    }

    String url() {
        return url;
    }

    /** The model's name there. */
    String model() {
        return model;
    }

    long pid() {
        return process.pid();
    }

    ProcessThreads threads() {
        return ProcessThreads.of(pid());
    }

    /** Nanoseconds of its parts between two looks. */
    Map<String, Long> used(ProcessThreads before, ProcessThreads after) {
        return after.since(before, parts, rest);
    }

    /** Takes the processors from it: it may spin while it has nothing to do. */
    void pause() throws IOException, InterruptedException {
        paused = true;
        ProgramProcesses.pause(process);
    }

    void resume() throws IOException, InterruptedException {
        ProgramProcesses.resume(process);
    }

    /** Ends it, whatever is thrown. */
    @Override
    public void close() throws IOException, InterruptedException {
        try {
            // That takes a program which not every machine has.
            if (paused) {
                resume();
            }
            process.destroy();
            if (!process.waitFor(END_S_MAX, TimeUnit.SECONDS)) {
                ProgramProcesses.kill(process);
            }
        } finally {
            process.destroyForcibly();
            forget();
        }
    }

    /** It is gone. */
    private void forget() {
        try {
            Runtime.getRuntime().removeShutdownHook(killer);
        } catch (IllegalStateException e) {
            // This process ends: the hook finds nothing to kill.
            return;
        }
    }
}
