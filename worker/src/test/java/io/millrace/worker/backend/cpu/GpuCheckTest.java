package io.millrace.worker.backend.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** {@code kernels/gpu-check} as an unpacked pack has it, with a program in place of the benchmarks. */
@EnabledOnOs(OS.LINUX)
class GpuCheckTest {

    @TempDir
    Path pack;

    private String run(int status, String says, int expected) throws IOException, InterruptedException {
        program(
                "kernels/build/gpu/bench",
                "[ \"$1\" = library ] && exec echo loads\necho '" + says + "' >&2\nexit " + status);
        String said = check(expected);
        assertThat(pack.resolve("bench/results")).doesNotExist();
        return said;
    }

    private void program(String name, String body) throws IOException {
        Path program = pack.resolve(name);
        Files.createDirectories(program.getParent());
        Files.writeString(program, "#!/bin/sh\n" + body + "\n");
        Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwx------"));
    }

    /** Starts it, where {@code java} and {@code python3} are the pack's own if it has any. */
    private Process start(String... arguments) throws IOException {
        Path check = pack.resolve("kernels/gpu-check");
        Files.copy(Path.of("../kernels/gpu-check"), check, StandardCopyOption.REPLACE_EXISTING);
        List<String> command = new ArrayList<>(List.of("bash", check.toString()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectErrorStream(true)
                .redirectOutput(pack.resolve("output").toFile());
        builder.environment().merge("PATH", pack.resolve("bin").toString(), (path, own) -> own + ":" + path);
        builder.environment().put("JAVA_HOME", pack.toString());
        return builder.start();
    }

    private String check(int expected, String... arguments) throws IOException, InterruptedException {
        Process process = start(arguments);
        try {
            assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
            String said = Files.readString(pack.resolve("output"), StandardCharsets.UTF_8);
            assertThat(process.exitValue()).as(said).isEqualTo(expected);
            return said;
        } finally {
            process.destroyForcibly();
        }
    }

    /** A device on which all goes well, and Java that prints rows of an engine under load. */
    private void device(String engine, String python) throws IOException {
        program(
                "kernels/build/gpu/bench",
                "[ \"$1\" = library ] && exec echo loads\nprintf 'A chip\\n'\n"
                        + "[ \"$1\" = device ] || printf 'row\\t1\\t2\\tGB/s\\t3 %%\\n'");
        tests("printf 'begins a\\npassed a\\n'");
        Files.createDirectories(pack.resolve("kernels/build/gpu/java"));
        program("bin/java", """
                [ "$1" = -version ] && exec echo 'version "25"'
                case "$*" in
                *ModelsOnDevice*) exec echo 'models: 1 passed, 0 failed' ;;
                *ServerOnDevice*1B.json*) printf 'server, 1B\t7.0\t8.0\ttokens/s\t\n'; exec echo 'server: 2 passed, 0 failed' ;;
                *cuda:library*8B.json*128*128*512:1024*) exec printf 'millrace by products of library, 8B in bf16, 1024 requests, 512 at a time\t5.0\t15000.0\ttokens/s\t\n' ;;
                *8B.json*128*128*64:256*) shape=8B ;;
                *1B.json*128*128*64:256*) shape=1B ;;
                esac
                """ + engine);
        program(
                "bin/python3",
                "case \"$1\" in *transformers-peer.py) ;; *) exit 1 ;; esac\n"
                        + "case \"$3\" in *8B.json) shape=8B ;; *) shape=1B ;; esac\n" + python);
    }

    /** The program of tests, of which a body says what each process does. */
    private void tests(String body) throws IOException {
        program("kernels/build/gpu/tests", body);
    }

    private static String row(String who, String work, int rate) {
        return "printf '" + who + ", %s in bf16, " + work + "\\t5.0\\t" + rate + ".0\\ttokens/s\\t\\n' $shape\n";
    }

    private List<String> table() throws IOException {
        return table(pack.resolve("bench/results"));
    }

    private static List<String> table(Path folder) throws IOException {
        return Files.readAllLines(folder.resolve("cuda-a-chip.md"));
    }

    @Test
    void ourEngineAndTransformersStandSideBySideWithWhatIsAimedAt() throws Exception {
        String few = "256 requests, 64 at a time";
        String many = "1024 requests, 512 at a time";
        device(
                row("millrace", few, 9000) + row("millrace", many, 12000),
                row("transformers", few, 2000) + row("transformers", many, 4000));
        check(0);
        assertThat(table())
                .contains(
                        "| row | 1 | 2 GB/s | 3 % |",
                        "| millrace, 1B in bf16, 256 requests, 64 at a time | 5.0 | 9000.0 tokens/s |  |",
                        "| transformers, 8B in bf16, 256 requests, 64 at a time | 5.0 | 2000.0 tokens/s |  |",
                        "| millrace by transformers, 1B in bf16, 256 requests, 64 at a time |  | 4.50 (aimed at: 3) |  |",
                        "| millrace by transformers, 8B in bf16, 1024 requests, 512 at a time |  | 3.00  |  |",
                        "| millrace by 15,000 tokens/s, 8B in bf16, 1024 requests, 512 at a time |  | 0.80 (aimed at: 1) |  |",
                        "| own products by those of cuBLASLt, 8B in bf16, 1024 requests, 512 at a time |  | 0.80  |  |",
                        "| server, 1B | 7.0 | 8.0 tokens/s |  |")
                .noneMatch(line -> line.contains("15,000") && line.contains("1B"));
    }

    @Test
    void whatIsMissingForTransformersIsSaidAndFailsNothing() throws Exception {
        device(row("millrace", "256 requests, 64 at a time", 9000), """
                [ $shape = 8B ] && { echo 'not run: no PyTorch | here'; exit 3; }
                echo Traceback >&2; echo 'ValueError: odd' >&2; exit 1""");
        check(0);
        assertThat(table())
                .contains(
                        "| transformers, 1B in bf16 |  | not run: ended with 1, ValueError: odd  |  |",
                        "| transformers, 8B in bf16 |  | not run: no PyTorch   here  |  |",
                        "| millrace by transformers, 8B in bf16, 256 requests, 64 at a time |  | not run (aimed at: 3) |  |");
    }

    @Test
    void anEngineOfOursThatFailsIsAFailureButNotOneWithoutMemory() throws Exception {
        device(
                "[ $shape = 8B ] && { echo 'not run: [MR-MEM-001] too small'; exit 3; }\n"
                        + row("millrace", "256 requests, 64 at a time", 9000),
                "echo 'not run: no PyTorch'; exit 3");
        check(0);
        assertThat(table()).contains("| millrace, 8B in bf16 |  | not run: [MR-MEM-001] too small  |  |");

        device("echo 'Exception in thread \"main\" broken' >&2; exit 1", "echo 'not run: no PyTorch'; exit 3");
        check(1);
        assertThat(table())
                .contains(
                        "| millrace, 1B in bf16 |  | not run: ended with 1, Exception in thread \"main\" broken  |  |");
    }

    @Test
    void partsThatRunInSeveralCallsMakeOneTable() throws Exception {
        device(row("millrace", "256 requests, 64 at a time", 9000), "exit 1");
        Path to = pack.resolve("to");
        assertThat(check(0, "--to", to.toString(), "tests", "server"))
                .contains("== tests", "== server")
                .doesNotContain("== bench");
        assertThat(table(to))
                .contains("| server, 1B | 7.0 | 8.0 tokens/s |  |")
                .noneMatch(line -> line.contains("row"));
        try (Stream<Path> files = Files.list(to)) {
            assertThat(files.map(file -> file.getFileName().toString()))
                    .containsExactlyInAnyOrder("cuda-a-chip.md", "rows");
        }

        check(0, "bench");
        assertThat(table())
                .contains("| row | 1 | 2 GB/s | 3 % |", "| server, 1B | 7.0 | 8.0 tokens/s |  |")
                .anyMatch(line ->
                        line.contains("Tests: 1 passed, 0 failed. compute-sanitizer: not run. Whole models: not run."
                                + " Whole server: server: 2 passed, 0 failed."));
    }

    @Test
    void rowsThatCallsLeftElsewhereMakeOneTableAndTheLastOfAPartCount() throws Exception {
        device("", "");
        Path first = pack.resolve("first");
        check(0, "--to", first.toString(), "tests", "bench");
        program(
                "kernels/build/gpu/bench",
                "[ \"$1\" = library ] && exec echo loads\nprintf 'A chip\\n'\n"
                        + "[ \"$1\" = device ] || printf 'row\\t7\\t8\\tGB/s\\t9 %%\\n'");
        Path second = pack.resolve("second");
        check(0, "--to", second.toString(), "bench", "server");
        Path all = pack.resolve("all");
        String firstRows = first.resolve("rows").toString();
        check(
                0,
                "--to",
                all.toString(),
                "table",
                "--from",
                firstRows,
                second.resolve("rows").toString());
        assertThat(table(all))
                .contains("| row | 7 | 8 GB/s | 9 % |", "| server, 1B | 7.0 | 8.0 tokens/s |  |")
                .doesNotContain("| row | 1 | 2 GB/s | 3 % |")
                .anyMatch(line -> line.contains("Tests: 1 passed, 0 failed."));

        Path other = Files.writeString(pack.resolve("other"), "chip\tAnother chip\nbench\trow\t5\t6\tGB/s\t\n");
        assertThat(check(1, "table", "--from", firstRows, other.toString())).contains("several chips");
    }

    /** One that fails a check, one that hangs, one that ends its process, and one that is well. */
    @Test
    void behindATestThatFailsHangsOrEndsItsProcessTheOthersRun() throws Exception {
        device("", "");
        tests("""
                case "$4" in
                '') printf 'begins one\\npassed one\\nbegins two\\nsource.cpp:7: sum: 3 | 4\\nmore\\nFAILED two\\nkernels: 1 passed, 1 failed\\n'; exit 1 ;;
                two) echo 'begins three'; kill -ALRM $$ ;;
                three) echo 'begins four'; echo 'an illegal address' >&2; kill -SEGV $$ ;;
                *) printf 'begins five\\npassed five\\nkernels: 1 passed, 0 failed\\n' ;;
                esac""");
        assertThat(check(1, "tests"))
                .contains("source.cpp:7: sum: 3 | 4", "NOT PASSED three: not ended after 60 s", "2 passed, 3 failed");
        assertThat(table())
                .contains(
                        "| two |  | source.cpp:7: sum: 3   4  |  |",
                        "| three |  | not ended after 60 s  |  |",
                        "| four |  | ended its process with 139, an illegal address  |  |")
                .anyMatch(line -> line.contains("Tests: 2 passed, 3 failed."));
    }

    @Test
    void testsThatDoNotBeginAreNoReasonToGoOn() throws Exception {
        device("", "");
        tests("echo 'a library is missing' >&2; exit 127");
        check(1, "tests");
        assertThat(table()).contains("| the tests |  | ended its process with 127, a library is missing  |  |");
    }

    /** Only memcheck is asked for many tests; what one tool finds in one test is a row. */
    @Test
    void eachTestIsAProcessOfItsOwnUnderComputeSanitizer() throws Exception {
        device("", "");
        tests("[ \"$1\" = --list ] && { echo good; [ \"$2\" = agree ] && echo bad; }; exit 0");
        program("bin/compute-sanitizer", """
                case "$*" in
                *memcheck*--only' bad') printf '========= COMPUTE-SANITIZER\\n========= Invalid __global__ read of size 4\\nkernels: 1 passed\\n'; exit 9 ;;
                esac""");
        assertThat(check(1, "sanitizer")).contains("3 clean, 1 failed, 0 not ended in time");
        assertThat(table()).contains("| memcheck, bad |  | ========= Invalid __global__ read of size 4  |  |");
    }

    /** A kernel that faults has been shown by its message, and what comes before it is measured all the same. */
    @Test
    void benchmarksThatFailInSmallAreSaidAndRunInFull() throws Exception {
        device("", "");
        program("kernels/build/gpu/bench", """
                [ "$1" = library ] && exec echo loads
                echo 'A chip'
                [ "$1" = device ] && exit
                printf 'row\\t1\\t2\\tGB/s\\t3 %%\\n'
                echo 'running kernels: unspecified launch failure' >&2
                exit 1""");
        assertThat(check(1, "bench")).contains("unspecified launch failure");
        assertThat(table())
                .contains("| benchmarks in small |  | ended with 1, behind: row  |  |", "| row | 1 | 2 GB/s | 3 % |");
    }

    @Test
    void whatAStoppedCallHasMeasuredIsKept() throws Exception {
        device("", "");
        program("kernels/build/gpu/bench", """
                [ "$1" = library ] && exec echo loads
                printf 'A chip\\nrow\\t1\\t2\\tGB/s\\t3 %%\\n'
                [ -n "$1" ] || exec sleep 60""");
        Process process = start("bench");
        try {
            Path row = pack.resolve("kernels/build/gpu/rows/bench");
            long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
            while ((!Files.exists(row) || Files.size(row) == 0) && System.nanoTime() < end) {
                TimeUnit.MILLISECONDS.sleep(10);
            }
        } finally {
            process.descendants().forEach(ProcessHandle::destroyForcibly);
            process.destroyForcibly().waitFor();
        }
        check(0, "table");
        assertThat(table()).contains("| row | 1 | 2 GB/s | 3 % |");
    }

    @Test
    void anUnknownPartIsNamed() throws Exception {
        device("", "");
        assertThat(check(64, "kernels")).contains("There is no part kernels; use tests models bench");
        assertThat(check(1, "table")).contains("No part has run here");
    }

    @Test
    void aMachineWithoutAGpuIsNoFailureOfTheKernels() throws Exception {
        assertThat(run(2, "no NVIDIA driver", 2)).contains("No GPU: no NVIDIA driver");
    }

    @Test
    void kernelsThatFailAreNotTakenForAMachineWithoutAGpu() throws Exception {
        assertThat(run(1, "running kernels: unspecified launch failure", 1))
                .contains("unspecified launch failure", "The device fails")
                .doesNotContain("No GPU");
    }
}
