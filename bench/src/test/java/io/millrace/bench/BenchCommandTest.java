package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.cli.CommandLines;
import io.millrace.worker.model.hub.ResolvedModel;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What every measuring command has. */
class BenchCommandTest {

    private static String help(String... arguments) {
        var out = new ByteArrayOutputStream();
        assertThat(CommandLines.run(arguments, new PrintStream(out), System.err))
                .as(String.join(" ", arguments))
                .isZero();
        return out.toString(StandardCharsets.UTF_8);
    }

    @Test
    void trainingThatWantsAModelEndsAtOnceWhereThereIsNone() {
        var out = new ByteArrayOutputStream();
        int code = CommandLines.run(
                new String[] {"bench", "train", "--require-model", "--model", "hf:nobody/has-this"},
                new PrintStream(out),
                System.err);
        assertThat(code).isEqualTo(TrainCommand.NO_MODEL);
        assertThat(out.toString(StandardCharsets.UTF_8)).contains("hf:nobody/has-this is not on this machine yet");
    }

    /** A GPU is the server's that was started beside. */
    @Test
    void trainingIsByTheProcessor() {
        ResolvedModel model = new ResolvedModel("tiny", List.of(), Path.of("tiny.gguf"), "file");
        assertThat(TrainCommand.flags(model))
                .containsEntry("millrace.worker.models[0]", "tiny=tiny.gguf")
                .hasEntrySatisfying(
                        "millrace.worker.engine", engine -> assertThat(engine).isIn("cpu", "torch"));
    }

    @Test
    void eachTellsItsOptionsAndWhereItsResultsGo() {
        Set<String> names = Objects.requireNonNull(CommandLines.create(System.out, System.err)
                        .getSubcommands()
                        .get("bench"))
                .getSubcommands()
                .keySet();
        assertThat(names).contains("placement", "chaos", "scale");
        for (String name : names) {
            assertThat(help("bench", name, "--help"))
                    .contains("bench " + name, "--out=DIR")
                    .isEqualTo(help("bench", name, "-h"));
        }
    }
}
