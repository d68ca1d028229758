package io.millrace.standalone.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import ch.qos.logback.classic.LoggerContext;
import ch.qos.logback.classic.joran.JoranConfigurator;
import ch.qos.logback.classic.util.LogbackMDCAdapter;
import io.millrace.shared.error.MillraceException;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.slf4j.Logger;
import picocli.CommandLine;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** What {@code --log-format} makes of the program's own log configuration. */
class LogFormatTest {

    /** What is written to standard error by a log that is set up as the program's. */
    private static List<String> lines(String format, Consumer<LoggerContext> writes) throws Exception {
        var bytes = new ByteArrayOutputStream();
        PrintStream before = System.err;
        @Nullable String set = System.getProperty(CommonOptions.LOG_FORMAT);
        var log = new LoggerContext();
        log.setMDCAdapter(new LogbackMDCAdapter());
        try {
            System.setErr(new PrintStream(bytes, true, StandardCharsets.UTF_8));
            System.setProperty(CommonOptions.LOG_FORMAT, format);
            var configurator = new JoranConfigurator();
            configurator.setContext(log);
            configurator.doConfigure(LogFormatTest.class.getResource("/logback.xml"));
            writes.accept(log);
        } finally {
            log.stop();
            System.setErr(before);
            if (set == null) {
                System.clearProperty(CommonOptions.LOG_FORMAT);
            } else {
                System.setProperty(CommonOptions.LOG_FORMAT, set);
            }
        }
        return bytes.toString(StandardCharsets.UTF_8)
                .lines()
                .filter(line ->
                        line.contains("test.lines") || line.contains("a \\\"quoted\\\"") || line.contains("of two"))
                .toList();
    }

    @Test
    void jsonIsAnObjectALineWithEveryNameAndValue() throws Exception {
        List<String> lines = lines("json", log -> {
            Logger logger = log.getLogger("io.millrace.test.lines");
            logger.atInfo()
                    .addKeyValue("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")
                    .addKeyValue("output_tokens", 7)
                    .log("a \"quoted\" line\nof two");
            logger.warn("it failed", new IllegalStateException("because\nof this"));
        });

        assertThat(lines).hasSize(2);
        JsonNode first = JsonMapper.shared().readTree(lines.getFirst());
        assertThat(first.path("level").asString()).isEqualTo("INFO");
        assertThat(first.path("loggerName").asString()).isEqualTo("io.millrace.test.lines");
        assertThat(first.path("formattedMessage").asString()).isEqualTo("a \"quoted\" line\nof two");
        assertThat(first.path("timestamp").asLong()).isPositive();
        assertThat(first.path("kvpList").toString())
                .contains("{\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}", "output_tokens");
        assertThat(JsonMapper.shared()
                        .readTree(lines.getLast())
                        .path("throwable")
                        .path("message")
                        .asString())
                .isEqualTo("because\nof this");
    }

    @Test
    void textIsForPeople() throws Exception {
        assertThat(lines(
                        "text",
                        log -> log.getLogger("io.millrace.test.lines")
                                .atInfo()
                                .addKeyValue("trace_id", "4bf9")
                                .log("of two")))
                .singleElement()
                .asString()
                .contains("INFO  lines [", "of two trace_id=4bf9");
    }

    @ParameterizedTest
    @ValueSource(strings = {"up", "gateway", "router", "worker", "broker"})
    void everyPartTakesTheFlagAndRefusesOtherFormats(String command) {
        var out = new ByteArrayOutputStream();
        CommandLine commands = CommandLines.create(
                new PrintStream(out, true, StandardCharsets.UTF_8), new PrintStream(out, true, StandardCharsets.UTF_8));

        assertThat(commands.execute(command, "--log-format", "xml")).isEqualTo(2);
        assertThat(out.toString(StandardCharsets.UTF_8)).contains("--log-format", "text, json", "xml");
    }

    @Test
    void aFormatOfTheEnvironmentThatIsNoneIsACodedError() {
        assertThatThrownBy(() -> CommonOptions.logFormatOf("xml"))
                .isInstanceOfSatisfying(
                        MillraceException.class, e -> assertThat(e.toString()).contains("MR-CONF-004", "xml", "json"));
    }
}
