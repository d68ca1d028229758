package io.millrace.standalone.telemetry;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The dashboards under observability/, as files. */
public final class Dashboards {

    public static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
    private static final Pattern METRIC = Pattern.compile("\\b(?:millrace|gen_ai)_[a-z0-9_]+");
    private static final Pattern HISTOGRAM_PART = Pattern.compile("_(?:bucket|sum|count)$");

    /** A query of a panel. */
    public record Query(String dashboard, String panel, String expression, String legend) {

        /** As Grafana would send it, with all values of each variable. */
        public String filled(String rateInterval) {
            return expression.replace("$__rate_interval", rateInterval).replaceAll("\\$(worker|model|tenant)\\b", ".*");
        }
    }

    private Dashboards() {}

    public static List<JsonNode> all() {
        try (Stream<Path> files = Files.list(ROOT.resolve("observability/grafana/dashboards"))) {
            var json = new JsonMapper();
            return files.sorted().map(file -> json.readTree(file.toFile())).toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    public static List<Query> queries(JsonNode dashboard) {
        List<Query> all = new ArrayList<>();
        for (JsonNode panel : dashboard.path("panels")) {
            for (JsonNode target : panel.path("targets")) {
                all.add(new Query(
                        dashboard.path("uid").asString(),
                        panel.path("title").asString(),
                        target.path("expr").asString(),
                        target.path("legendFormat").asString()));
            }
        }
        return all;
    }

    /** Names of our metrics in an expression, without what a histogram's series add. */
    public static SortedSet<String> metrics(String expression) {
        SortedSet<String> found = new TreeSet<>();
        Matcher matcher =
                METRIC.matcher(expression.replaceAll("by \\([^)]*\\)", "").replaceAll("\\{[^}]*}", ""));
        while (matcher.find()) {
            found.add(HISTOGRAM_PART.matcher(matcher.group()).replaceFirst(""));
        }
        return found;
    }
}
