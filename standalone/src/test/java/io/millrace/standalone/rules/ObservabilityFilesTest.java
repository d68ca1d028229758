package io.millrace.standalone.rules;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.telemetry.Dashboards;
import io.millrace.standalone.telemetry.RealTools;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;

/** Dashboards, rules and runbooks fit each other and the list of metrics. */
class ObservabilityFilesTest {

    private static final Path ROOT = Dashboards.ROOT;
    private static final Pattern ROW = Pattern.compile("(?m)^\\| `((?:millrace|gen_ai)_[a-z0-9_]+)` \\|");
    private static final Pattern HEADING = Pattern.compile("(?m)^## (.+)$");
    private static final Pattern RUNBOOK = Pattern.compile("runbook_url: docs/runbooks\\.md#([a-z-]+)");
    private static final Pattern ALERT = Pattern.compile("- alert: (\\w+)");

    private static Set<String> found(Pattern pattern, Path file) throws IOException {
        Set<String> all = new TreeSet<>();
        pattern.matcher(Files.readString(file, StandardCharsets.UTF_8))
                .results()
                .forEach(match -> all.add(match.group(1)));
        return all;
    }

    private static Set<String> documented() throws IOException {
        return found(ROW, ROOT.resolve("docs/metrics.md"));
    }

    @Test
    void everyDashboardIsWholeAndItsPanelsDoNotOverlap() {
        Set<String> uids = new HashSet<>();
        assertThat(Dashboards.all()).hasSize(4);
        for (JsonNode dashboard : Dashboards.all()) {
            String name = dashboard.path("title").asString();
            assertThat(uids.add(dashboard.path("uid").asString())).as(name).isTrue();
            assertThat(dashboard.path("schemaVersion").isInt()).as(name).isTrue();
            Set<Integer> ids = new HashSet<>();
            Set<String> cells = new HashSet<>();
            for (JsonNode panel : dashboard.path("panels")) {
                String title = name + ", " + panel.path("title").asString();
                assertThat(ids.add(panel.path("id").asInt())).as(title).isTrue();
                assertThat(panel.path("datasource").path("uid").asString())
                        .as(title)
                        .isEqualTo("prometheus");
                assertThat(panel.path("fieldConfig")
                                .path("defaults")
                                .path("unit")
                                .asString())
                        .as(title)
                        .isNotBlank();
                JsonNode at = panel.path("gridPos");
                assertThat(at.path("x").asInt() + at.path("w").asInt())
                        .as(title)
                        .isLessThanOrEqualTo(24);
                for (int x = 0; x < at.path("w").asInt(); x++) {
                    for (int y = 0; y < at.path("h").asInt(); y++) {
                        assertThat(cells.add((at.path("x").asInt() + x) + "/"
                                        + (at.path("y").asInt() + y)))
                                .as(title + " overlaps")
                                .isTrue();
                    }
                }
                Set<String> refs = new HashSet<>();
                assertThat(panel.path("targets").size()).as(title).isPositive();
                panel.path("targets")
                        .forEach(target -> assertThat(
                                        refs.add(target.path("refId").asString()))
                                .as(title)
                                .isTrue());
            }
        }
    }

    @Test
    void everyMetricAndVariableInAQueryExists() throws IOException {
        Set<String> documented = documented();
        for (JsonNode dashboard : Dashboards.all()) {
            Set<String> variables = new HashSet<>(Set.of("__rate_interval"));
            dashboard
                    .path("templating")
                    .path("list")
                    .forEach(each -> variables.add(each.path("name").asString()));
            for (Dashboards.Query query : Dashboards.queries(dashboard)) {
                assertThat(Dashboards.metrics(query.expression()))
                        .as("%s", query)
                        .isNotEmpty();
                assertThat(documented).as("%s", query).containsAll(Dashboards.metrics(query.expression()));
                Pattern.compile("\\$(\\w+)")
                        .matcher(query.expression())
                        .results()
                        .forEach(match -> assertThat(variables).as("%s", query).contains(match.group(1)));
            }
        }
    }

    @Test
    void everyMetricInARuleExistsAndEveryAlertHasItsRunbook() throws IOException {
        Path rules = ROOT.resolve("observability/prometheus/rules.yml");
        String text = Files.readString(rules, StandardCharsets.UTF_8);

        assertThat(documented()).containsAll(Dashboards.metrics(text.replaceAll("millrace:[a-z_:0-9]+", "")));
        Set<String> anchors = new TreeSet<>();
        found(HEADING, ROOT.resolve("docs/runbooks.md"))
                .forEach(heading -> anchors.add(heading.toLowerCase(Locale.ROOT).replace(' ', '-')));
        assertThat(found(RUNBOOK, rules)).isEqualTo(anchors);
        assertThat(text.lines().filter(line -> line.contains("runbook_url"))).hasSameSizeAs(found(ALERT, rules));
        String runbooks = Files.readString(ROOT.resolve("docs/runbooks.md"), StandardCharsets.UTF_8);
        assertThat(found(ALERT, rules)).allMatch(alert -> runbooks.contains("`" + alert + "`"));
    }

    @Test
    void promtoolAcceptsTheRulesAndTheirTestsPass() throws Exception {
        Path promtool = RealTools.require("ObservabilityFilesTest", "promtool").getFirst();
        Path folder = ROOT.resolve("observability/prometheus");
        for (List<String> arguments : List.of(
                List.of("check", "rules", "rules.yml"),
                List.of("test", "rules", "rules_test.yml"),
                List.of("check", "config", "prometheus.yml"))) {
            var command = new java.util.ArrayList<>(List.of(promtool.toString()));
            command.addAll(arguments);
            Process process = new ProcessBuilder(command)
                    .directory(folder.toFile())
                    .redirectErrorStream(true)
                    .start();
            String said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
            assertThat(process.waitFor()).as("%s: %s", arguments, said).isZero();
        }
    }
}
