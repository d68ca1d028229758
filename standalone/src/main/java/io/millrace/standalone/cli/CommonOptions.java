package io.millrace.standalone.cli;

import io.millrace.shared.error.MillraceException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Flags of every command that starts something. */
final class CommonOptions {

    static final String LOG_FORMAT = "MILLRACE_LOG_FORMAT";

    /** Of the log. */
    enum LogFormat {
        text,
        json
    }

    @Option(
            names = "--data-dir",
            paramLabel = "DIR",
            description = "Data and logs (default: .millrace beside the script).")
    private @Nullable Path dataDir;

    @Option(
            names = "--set",
            paramLabel = "NAME=VALUE",
            description =
                    "Any property of docs/configuration.md, such as millrace.kafka.partitions=4; may be repeated.")
    private List<String> set = new ArrayList<>();

    @Option(
            names = "--otlp",
            paramLabel = "URL",
            description = "OpenTelemetry receiver over HTTP, such as http://127.0.0.1:4318.")
    private @Nullable String otlp;

    /** Read by logback.xml, which is set up when the first line is written. */
    @Option(
            names = "--log-format",
            paramLabel = "text|json",
            description = "How log lines look (default text; MILLRACE_LOG_FORMAT says the same).")
    void logFormat(LogFormat format) {
        logFormat = format;
        System.setProperty(LOG_FORMAT, format.name());
    }

    private @Nullable LogFormat logFormat;

    /**
     * Has the log look as the environment says, unless a flag comes that says otherwise; throws MR-CONF-004 for what is no format, which would
     * leave no log at all.
     */
    static void logFormatOf(@Nullable String variable) {
        if (variable == null || variable.isBlank()) {
            return;
        }
        String wanted = variable.strip().toLowerCase(Locale.ROOT);
        if (Arrays.stream(LogFormat.values()).noneMatch(format -> format.name().equals(wanted))) {
            throw new MillraceException("MR-CONF-004", LOG_FORMAT + " is '" + variable + "'; use text or json.");
        }
        System.setProperty(LOG_FORMAT, wanted);
    }

    @Option(names = "--child", hidden = true)
    private boolean child;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            hidden = true)
    private boolean help;

    /** Started by {@code up --processes}: ends with its parent, reports on standard output. */
    boolean isChild() {
        return child;
    }

    Path dataDir() {
        return dataDir(dataDir);
    }

    /** That folder, or the one beside the script. */
    static Path dataDir(@Nullable Path given) {
        if (given != null) {
            return given.toAbsolutePath();
        }
        return Path.of(System.getenv().getOrDefault("MILLRACE_HOME", "."), ".millrace")
                .toAbsolutePath()
                .normalize();
    }

    /** The file of API keys in that folder. */
    static Path keysFile(Path dataDir) {
        return dataDir.resolve("keys.json");
    }

    /** As properties. */
    Map<String, Object> properties() {
        Map<String, Object> properties = new LinkedHashMap<>();
        if (otlp != null) {
            properties.put("millrace.telemetry.otlp-endpoint", otlp);
        }
        for (String each : set) {
            int equals = each.indexOf('=');
            if (equals < 1) {
                throw new MillraceException("MR-CONF-002", "--set " + each + " is not of the form NAME=VALUE.");
            }
            properties.put(each.substring(0, equals), each.substring(equals + 1));
        }
        return properties;
    }

    /** The same as arguments for a child. */
    List<String> arguments() {
        List<String> arguments = new ArrayList<>(List.of("--data-dir", dataDir().toString()));
        if (logFormat != null) {
            arguments.addAll(List.of("--log-format", logFormat.name()));
        }
        properties().forEach((name, value) -> {
            arguments.add("--set");
            arguments.add(name + "=" + value);
        });
        return arguments;
    }
}
