package io.millrace.standalone.rules;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.config.AllProperties;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The lists in docs/ are those of the code. */
class DocumentationTest {

    private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
    private static final Pattern PROPERTY = Pattern.compile("(?m)^\\| `(millrace\\.[a-z.*-]+)` \\|");
    private static final Pattern VARIABLE = Pattern.compile("(?m)^\\| `(MILLRACE_[A-Z_]+)` \\|");
    private static final Pattern ERROR_ROW = Pattern.compile("(?m)^\\| `(MR-[A-Z]+-[0-9]{3})` \\|");
    private static final Pattern ERROR_IN_LITERAL = Pattern.compile("\"\\[?(MR-[A-Z]+-[0-9]{3})[\\]\" ]");
    private static final Pattern METRIC_ROW = Pattern.compile("(?m)^\\| `((?:millrace|gen_ai)_[a-z0-9_]+)` \\|");
    private static final Pattern METER = Pattern.compile(
            "(?:builder|timer|counter|gauge|function|summary|count"
                    + "|tenantCounter)\\(\\s*(?:registry,\\s*tags,\\s*|queued,\\s*|queuedTokens,\\s*)?\"((?:millrace|gen_ai)\\.[a-z0-9._]+)\"");
    private static final List<String> MODULES =
            List.of("shared-model", "gateway", "router", "worker", "standalone", "bench");

    @Test
    void configurationListsExactlyThePropertiesOfTheCode() throws IOException {
        String page = Files.readString(ROOT.resolve("docs/configuration.md"));

        assertThat(all(PROPERTY, page)).isEqualTo(AllProperties.unknown().names());
        assertThat(all(VARIABLE, page)).isEqualTo(new TreeSet<>(AllProperties.environmentOnly()));
    }

    @Test
    void errorsListsExactlyTheCodesOfTheCode() throws IOException {
        SortedSet<String> inCode =
                all(ERROR_IN_LITERAL, Files.readString(ROOT.resolve("millrace")).replace("die \"[", "\"["));
        for (String module : MODULES) {
            try (Stream<Path> tree = Files.walk(ROOT.resolve(module).resolve("src/main/java"))) {
                tree.filter(path -> path.toString().endsWith(".java"))
                        .forEach(path -> inCode.addAll(all(ERROR_IN_LITERAL, read(path))));
            }
        }

        assertThat(all(ERROR_ROW, Files.readString(ROOT.resolve("docs/errors.md"))))
                .isEqualTo(inCode);
    }

    @Test
    void metricsListsExactlyTheMetersOfTheCode() throws IOException {
        SortedSet<String> inCode = new TreeSet<>();
        for (String module : MODULES) {
            try (Stream<Path> tree = Files.walk(ROOT.resolve(module).resolve("src/main/java"))) {
                tree.filter(path -> path.toString().endsWith(".java"))
                        .map(DocumentationTest::read)
                        .forEach(source -> {
                            if (source.contains("io.micrometer.core.instrument")) {
                                all(METER, source).forEach(name -> inCode.add(withoutUnit(name.replace('.', '_'))));
                            }
                        });
            }
        }
        SortedSet<String> listed = new TreeSet<>();
        all(METRIC_ROW, Files.readString(ROOT.resolve("docs/metrics.md")))
                .forEach(name -> listed.add(withoutUnit(name)));

        assertThat(inCode).hasSizeGreaterThan(40);
        assertThat(listed).containsExactlyElementsOf(inCode);
    }

    /** Prometheus appends what some meters have in their names already. */
    private static String withoutUnit(String name) {
        return name.replaceAll("(_seconds)?(_total)?$", "");
    }

    private static String read(Path path) {
        try {
            return Files.readString(path, StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static SortedSet<String> all(Pattern pattern, String text) {
        SortedSet<String> found = new TreeSet<>();
        Matcher matcher = pattern.matcher(text);
        while (matcher.find()) {
            found.add(matcher.group(1));
        }
        return found;
    }
}
