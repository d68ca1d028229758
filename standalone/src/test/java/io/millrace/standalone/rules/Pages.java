package io.millrace.standalone.rules;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** The Markdown pages of docs/ and the README, as GitHub shows them. */
final class Pages {

    static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
    static final Path FRONT = ROOT.resolve("docs/README.md");
    private static final Pattern LINK = Pattern.compile("(?<!`)!?\\[[^\\]]*\\]\\(([^)\\s]+)\\)");
    private static final Pattern HEADING = Pattern.compile("^#{1,6} (.+)$");
    private static final Pattern CODE_SPAN = Pattern.compile("`[^`]*`");

    private Pages() {}

    /** Path to text. */
    static SortedMap<Path, String> all() {
        SortedMap<Path, String> pages = new TreeMap<>();
        try (Stream<Path> docs = Files.list(ROOT.resolve("docs"))) {
            docs.filter(path -> path.toString().endsWith(".md")).forEach(path -> pages.put(path, read(path)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        pages.put(ROOT.resolve("README.md"), read(ROOT.resolve("README.md")));
        return pages;
    }

    static String read(Path path) {
        try {
            return Files.readString(path, StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Targets of links and pictures outside code, those to other hosts left out. */
    static List<String> links(String text) {
        List<String> targets = new ArrayList<>();
        for (String line : prose(text)) {
            LINK.matcher(CODE_SPAN.matcher(line).replaceAll("``"))
                    .results()
                    .map(match -> match.group(1))
                    .filter(target -> !target.matches("[a-z]+:.*"))
                    .forEach(targets::add);
        }
        return targets;
    }

    /** Names by which headings can be linked to. */
    static Set<String> anchors(String text) {
        Set<String> anchors = new HashSet<>();
        Map<String, Integer> seen = new HashMap<>();
        for (String line : prose(text)) {
            var heading = HEADING.matcher(line);
            if (heading.matches()) {
                String slug = heading.group(1)
                        .replaceAll("\\[([^\\]]*)\\]\\([^)]*\\)", "$1")
                        .toLowerCase(Locale.ROOT)
                        .replaceAll("[^\\p{L}\\p{N} _-]", "")
                        .replace(' ', '-');
                int before = seen.merge(slug, 1, Integer::sum) - 1;
                anchors.add(before == 0 ? slug : slug + "-" + before);
            }
        }
        return anchors;
    }

    /** Lines outside fenced and indented code. */
    static List<String> prose(String text) {
        List<String> lines = new ArrayList<>();
        boolean fenced = false;
        boolean list = false;
        for (String line : text.split("\n", -1)) {
            if (line.startsWith("```")) {
                fenced = !fenced;
                continue;
            }
            list = line.matches("\\s*(-|[0-9]+\\.) .*") || list && (line.isBlank() || line.startsWith(" "));
            if (!fenced && (list || !line.startsWith("    "))) {
                lines.add(line);
            }
        }
        return lines;
    }
}
