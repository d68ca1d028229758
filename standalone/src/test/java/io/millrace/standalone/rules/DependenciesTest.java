package io.millrace.standalone.rules;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** What others wrote and we ship: each in one version, none in one with a vulnerability that we know of. */
class DependenciesTest {

    private static final Pattern JAR = Pattern.compile("/repository/(.+)/([^/]+)/([^/]+)/[^/]+\\.jar$");

    /** Group and artifact to the versions on the classpath. */
    private static Map<String, TreeSet<String>> versions() {
        Map<String, TreeSet<String>> found = new TreeMap<>();
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            Matcher jar = JAR.matcher(entry.replace(File.separatorChar, '/'));
            if (jar.find()) {
                found.computeIfAbsent(jar.group(1).replace('/', '.') + ":" + jar.group(2), name -> new TreeSet<>())
                        .add(jar.group(3));
            }
        }
        return found;
    }

    /** Whether a version comes before another one; letters after the numbers do not count. */
    private static boolean before(String version, String other) {
        String[] one = version.split("[^0-9]+");
        String[] two = other.split("[^0-9]+");
        for (int i = 0; i < Math.max(one.length, two.length); i++) {
            long a = i < one.length && !one[i].isEmpty() ? Long.parseLong(one[i]) : 0;
            long b = i < two.length && !two[i].isEmpty() ? Long.parseLong(two[i]) : 0;
            if (a != b) {
                return a < b;
            }
        }
        return false;
    }

    @Test
    void versionsAreComparedByTheirNumbers() {
        assertThat(before("1.9.0", "1.10.0")).isTrue();
        assertThat(before("2.13.4.2", "2.13.4.2")).isFalse();
        assertThat(before("4.1.118.Final", "4.1.124")).isTrue();
        assertThat(before("4.2.0", "4.1.124.Final")).isFalse();
        assertThat(before("33.4.8-jre", "32.0.0")).isFalse();
    }

    @Test
    void everyDependencyHasOneVersion() {
        Map<String, TreeSet<String>> all = versions();
        assertThat(all).hasSizeGreaterThan(50);
        assertThat(all)
                .allSatisfy((name, versions) -> assertThat(versions).as(name).hasSize(1));
    }

    @Test
    void noneIsInAVersionThatIsKnownToBeBad() throws IOException {
        Map<String, TreeSet<String>> all = versions();
        List<String> bad = new ArrayList<>();
        int known = 0;
        for (String line : Files.readAllLines(Pages.ROOT.resolve(".ci/dependencies.known-bad"))) {
            if (line.isBlank() || line.startsWith("#")) {
                continue;
            }
            String[] words = line.split(" ");
            assertThat(words).as(line).hasSize(3);
            for (String version : all.getOrDefault(words[0], new TreeSet<>())) {
                known++;
                if (before(version, words[1])) {
                    bad.add(words[0] + " " + version + ": " + words[2] + ", mended in " + words[1]);
                }
            }
        }
        assertThat(known).as("artifacts of the list that ship").isGreaterThan(8);
        assertThat(bad).isEmpty();
    }
}
