package io.millrace.bench;

import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** A folder with llama-bench and llama-batched-bench, of llama.cpp or of ik_llama.cpp, run in the settings that are its best on a CPU. */
final class LlamaPeer {

    private final JsonMapper json = new JsonMapper();
    private final String name;
    private final Path single;
    private final Path batched;
    private final boolean attentionByDefault;

    /**
     * MR-BENCH-005 when the folder has no such programs.
     *
     * @param folder {@code NAME=FOLDER}, or a folder that names itself
     */
    LlamaPeer(String folder) {
        int equals = folder.indexOf('=');
        Path path = Path.of(folder.substring(equals + 1)).toAbsolutePath().normalize();
        this.name = equals > 0 ? folder.substring(0, equals) : "llama.cpp";
        this.single = program(path, "llama-bench");
        this.batched = program(path, "llama-batched-bench");
        this.attentionByDefault =
                run(List.of(batched.toString(), "--help"), true, true).contains("no-flash-attn");
    }

    private static Path program(Path folder, String name) {
        Path program = folder.resolve(name);
        if (!Files.isExecutable(program)) {
            throw new MillraceException(
                    "MR-BENCH-005",
                    program + " is no program. Build " + name
                            + " there, or leave --peer out: ours is then measured alone.");
        }
        return program;
    }

    String name() {
        return name;
    }

    /** Rates by name, tokens a second. */
    Map<String, Double> rates(Path file, EngineWork work, int threads) {
        return work == EngineWork.ONE ? single(file, work, threads) : batched(file, work, threads);
    }

    private Map<String, Double> single(Path file, EngineWork work, int threads) {
        List<String> command = new ArrayList<>(
                List.of(single.toString(), "-m", file.toAbsolutePath().toString()));
        command.addAll(List.of("-t", "" + threads, "-p", "" + work.prompt, "-n", "" + work.tokens));
        command.addAll(List.of("-r", "1", "-fa", "1", "-o", "json"));
        String out = run(command, false, false);
        Map<String, Double> rates = new HashMap<>();
        for (JsonNode test : json.readTree(out.substring(Math.max(0, out.indexOf("["))))) {
            boolean prompt = test.path("n_prompt").asInt() > 0;
            rates.put(prompt ? work.prefill : work.decode, test.path("avg_ts").asDouble());
        }
        return complete(rates, work, out);
    }

    private Map<String, Double> batched(Path file, EngineWork work, int threads) {
        List<String> command = new ArrayList<>(
                List.of(batched.toString(), "-m", file.toAbsolutePath().toString()));
        command.addAll(
                List.of("-t", "" + threads, "-b", "2048", "-ub", "512", "-c", "" + work.streams * (work.room() + 16)));
        command.addAll(List.of("-npp", "" + work.prompt, "-ntg", "" + work.tokens, "-npl", "" + work.streams));
        if (!attentionByDefault) {
            command.addAll(List.of("-fa", "on"));
        }
        // ik_llama.cpp writes its table among its messages.
        String out = run(command, true, false);
        return complete(table(out, work), work, out);
    }

    /** Of the row {@code | PP | TG | B | N_KV | T_PP s | S_PP t/s | T_TG s | S_TG t/s | …}. */
    static Map<String, Double> table(String out, EngineWork work) {
        Map<String, Double> rates = new HashMap<>();
        for (String line : out.lines().toList()) {
            String[] cells = line.strip().split("\\s*\\|\\s*");
            if (cells.length > 8 && cells[1].equals("" + work.prompt) && cells[2].equals("" + work.tokens)) {
                rates.put(work.prefill, Double.parseDouble(cells[6]));
                rates.put(work.decode, Double.parseDouble(cells[8]));
            }
        }
        return rates;
    }

    private Map<String, Double> complete(Map<String, Double> rates, EngineWork work, String out) {
        if (!rates.keySet().containsAll(work.rates())) {
            throw failed("gave no rates for " + work.rates(), out);
        }
        return rates;
    }

    private String run(List<String> command, boolean messages, boolean mayFail) {
        ProcessBuilder builder = new ProcessBuilder(command);
        builder.environment().put("OMP_PROC_BIND", "true");
        builder.environment().put("OMP_WAIT_POLICY", "active");
        try {
            // It may leave files of its own where it runs.
            Path folder = Files.createTempDirectory("millrace-peer");
            Path errors = folder.resolve("errors");
            builder.directory(folder.toFile()).redirectError(errors.toFile());
            Process process = builder.start();
            String out = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            int code = process.waitFor();
            String said = Files.readString(errors, StandardCharsets.ISO_8859_1);
            delete(folder);
            if (code != 0 && !mayFail) {
                throw failed("ended with " + code, said + out);
            }
            return messages ? out + said : out;
        } catch (IOException e) {
            throw new MillraceException("MR-BENCH-005", command.getFirst() + " cannot be run (" + e + ").", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new MillraceException("MR-BENCH-005", command.getFirst() + " was interrupted.", e);
        }
    }

    private static void delete(Path folder) throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
            for (Path file : files) {
                Files.delete(file);
            }
        }
        Files.delete(folder);
    }

    private MillraceException failed(String what, String out) {
        String end = out.substring(Math.max(0, out.length() - 500)).strip();
        return new MillraceException("MR-BENCH-005", "The peer " + name + " " + what + ": " + end);
    }
}
