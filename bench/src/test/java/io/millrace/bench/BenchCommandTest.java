package io.millrace.bench;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.cli.CommandLines;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
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
