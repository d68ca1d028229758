package io.millrace.standalone.rules;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.standalone.config.AllProperties;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** The pages of docs/ are one site: none is orphaned, links lead somewhere, and what they name exists. */
class DocumentationSiteTest {

    private static final String OPENAPI = "gateway/src/main/resources/io/millrace/gateway/api/openapi.json";
    private static final Pattern CODE = Pattern.compile("\\bMR-[A-Z]+-[0-9]{3}\\b");
    private static final Pattern METRIC = Pattern.compile("\\b(?:millrace|gen_ai_server)_[a-z0-9_]+\\b");
    private static final Pattern METRIC_ROW = Pattern.compile("(?m)^\\| `((?:millrace|gen_ai)_[a-z0-9_]+)` \\|");
    private static final Pattern PROPERTY =
            Pattern.compile("(?<!io\\.)\\bmillrace\\.(?:broker|gateway|kafka|router|telemetry|worker)\\.[a-z.-]*[a-z]");
    private static final Pattern ROUTE = Pattern.compile(
            "(?:`(GET|POST|DELETE) |http://(?:127\\.0\\.0\\.1|localhost):(?:8080|PORT)|gateway:8080)(/[A-Za-z0-9_{}./-]*)");
    private static final Pattern BARE = Pattern.compile("(?<!\\[)`([a-z-]+\\.md)`");
    private static final Pattern SECTION = Pattern.compile("^## (.+)$");

    private final Map<Path, String> pages = Pages.all();

    @Test
    void everyPageIsReachedFromTheFrontPage() {
        Set<Path> reached = new HashSet<>(Set.of(Pages.FRONT));
        var queue = new ArrayDeque<>(reached);
        while (!queue.isEmpty()) {
            Path page = queue.remove();
            for (String link : Pages.links(pages.get(page))) {
                Path target = page.resolveSibling(link.replaceAll("#.*", "")).normalize();
                if (!link.startsWith("#") && pages.containsKey(target) && reached.add(target)) {
                    queue.add(target);
                }
            }
        }
        assertThat(reached).isEqualTo(pages.keySet());
    }

    @Test
    void thePlaceThatAPageNamesIsWhereTheFrontPageHasIt() {
        Map<String, String> places = new LinkedHashMap<>();
        String section = "";
        for (String line : Pages.prose(pages.get(Pages.FRONT))) {
            var heading = SECTION.matcher(line);
            section = heading.matches() ? heading.group(1) : section;
            for (String link : section.isEmpty() ? List.<String>of() : Pages.links(line)) {
                places.put(link, section);
            }
        }
        pages.forEach((path, text) -> {
            String name = path.getFileName().toString();
            if (!name.equals("README.md")) {
                assertThat(text.lines().findFirst())
                        .as("first line of %s", name)
                        .hasValue("[Docs](README.md) › " + places.get(name));
            }
        });
    }

    @Test
    void everyRelativeLinkAndAnchorLeadsSomewhere() {
        List<String> broken = new ArrayList<>();
        pages.forEach((page, text) -> {
            for (String link : Pages.links(text)) {
                int hash = link.indexOf('#');
                String file = hash < 0 ? link : link.substring(0, hash);
                Path target = file.isEmpty() ? page : page.resolveSibling(file).normalize();
                if (!target.startsWith(Pages.ROOT) || !Files.exists(target)) {
                    broken.add(page.getFileName() + ": " + link);
                } else if (hash >= 0 && !Pages.anchors(Pages.read(target)).contains(link.substring(hash + 1))) {
                    broken.add(page.getFileName() + ": " + link + " has no such heading");
                }
            }
            BARE.matcher(text)
                    .results()
                    .filter(match -> pages.containsKey(page.resolveSibling(match.group(1))))
                    .forEach(match -> broken.add(page.getFileName() + ": " + match.group(1) + " is no link"));
        });
        assertThat(broken).isEmpty();
    }

    @Test
    void everyPictureIsShownAndSmall() throws Exception {
        Set<Path> shown = new TreeSet<>();
        pages.forEach((page, text) -> Pages.links(text).stream()
                .filter(link -> link.endsWith(".png"))
                .forEach(link -> shown.add(page.resolveSibling(link).normalize())));
        try (var images = Files.list(Pages.ROOT.resolve("docs/images"))) {
            assertThat(new TreeSet<>(images.toList())).isEqualTo(shown);
        }
        for (Path image : shown) {
            assertThat(Files.size(image)).as("%s", image).isLessThan(200_000);
        }
    }

    @Test
    void everyErrorCodeMetricAndPropertyThatAPageNamesExists() {
        Set<String> codes = found(CODE, pages.get(Pages.ROOT.resolve("docs/errors.md")));
        Set<String> metrics = new TreeSet<>();
        METRIC_ROW
                .matcher(pages.get(Pages.ROOT.resolve("docs/metrics.md")))
                .results()
                .forEach(match -> metrics.add(match.group(1)));
        Set<String> properties = AllProperties.unknown().names();
        List<String> unknown = new ArrayList<>();
        pages.forEach((page, text) -> {
            found(CODE, text).stream()
                    .filter(code -> !codes.contains(code))
                    .forEach(code -> unknown.add(page.getFileName() + ": " + code));
            for (String metric : found(METRIC, text)) {
                String base = metric.replaceAll("_(bucket|count|sum|max)$", "");
                // A name with an underscore at its end stands for all that begin so.
                if (!metrics.contains(metric)
                        && !metrics.contains(base)
                        && !(metric.endsWith("_") && metrics.stream().anyMatch(name -> name.startsWith(metric)))) {
                    unknown.add(page.getFileName() + ": " + metric);
                }
            }
            for (MatchResult match : PROPERTY.matcher(text).results().toList()) {
                String name = match.group();
                boolean beginning = text.startsWith("-…", match.end()) || text.startsWith(".*", match.end());
                if (!properties.contains(name)
                        && properties.stream()
                                .noneMatch(each ->
                                        each.endsWith(".*") && name.startsWith(each.substring(0, each.length() - 1)))
                        && !(beginning && properties.stream().anyMatch(each -> each.startsWith(name)))
                        && properties.stream().noneMatch(each -> each.startsWith(name + "."))) {
                    unknown.add(page.getFileName() + ": " + name);
                }
            }
        });
        assertThat(unknown).isEmpty();
    }

    @Test
    void everyRouteThatAPageNamesIsServed() {
        Set<List<String>> served = new HashSet<>();
        JsonNode paths = JsonMapper.shared()
                .readTree(Pages.read(Pages.ROOT.resolve(OPENAPI)))
                .path("paths");
        paths.properties()
                .forEach(path -> path.getValue()
                        .propertyNames()
                        .forEach(method -> served.add(List.of(method.toUpperCase(Locale.ROOT), path.getKey()))));
        assertThat(served).hasSizeGreaterThan(30);
        String exposed = Pages.read(Pages.ROOT.resolve("standalone/src/main/resources/application.properties"));
        assertThat(exposed).contains("management.endpoints.web.exposure.include=health,prometheus");
        List.of("/actuator/health", "/actuator/prometheus").forEach(path -> served.add(List.of("GET", path)));
        assertThat(Pages.read(Pages.ROOT.resolve(
                        "standalone/src/main/java/io/millrace/standalone/parts/DebugEndpoints.java")))
                .contains("\"/debug/profile\"");
        served.add(List.of("POST", "/debug/profile"));
        List<String> unknown = new ArrayList<>();
        pages.forEach((page, text) -> ROUTE.matcher(text).results().forEach(match -> {
            String method = match.group(1);
            String path = match.group(2);
            // A base address of clients.
            boolean base = method == null && List.of("/", "/v1").contains(path);
            if (!base
                    && served.stream()
                            .noneMatch(each ->
                                    (method == null || method.equals(each.get(0))) && fits(each.get(1), path))) {
                unknown.add(page.getFileName() + ": " + match.group());
            }
        }));
        assertThat(unknown).isEmpty();
    }

    /** Whether a path, with an id or a placeholder in the place of each variable, is one of that pattern. */
    private static boolean fits(String pattern, String path) {
        return path.matches(pattern.replaceAll("\\{[a-z_]+\\}", "[^/]+").replace(".", "\\."));
    }

    private static Set<String> found(Pattern pattern, String text) {
        Set<String> all = new TreeSet<>();
        pattern.matcher(text).results().forEach(match -> all.add(match.group()));
        return all;
    }
}
