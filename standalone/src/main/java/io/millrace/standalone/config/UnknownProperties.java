package io.millrace.standalone.config;

import io.millrace.shared.error.MillraceException;
import java.lang.reflect.RecordComponent;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedSet;
import java.util.TreeSet;
import org.springframework.boot.context.properties.source.ConfigurationPropertyName;
import org.springframework.core.env.ConfigurableEnvironment;
import org.springframework.core.env.EnumerablePropertySource;
import org.springframework.core.env.PropertySource;

/** Refuses properties under {@code millrace.} that nothing reads, wherever they stand: flags, files or the environment. */
public final class UnknownProperties {

    private static final String PREFIX = "millrace.";
    private static final String ENVIRONMENT_PREFIX = "MILLRACE_";

    private final SortedSet<String> known = new TreeSet<>();
    private final SortedSet<String> open = new TreeSet<>();
    private final List<String> environmentOnly;

    /**
     * The names that those records hold.
     *
     * @param properties prefix to the record that holds what comes after it
     * @param environmentOnly variables of the environment that are no properties
     */
    public UnknownProperties(Map<String, Class<? extends Record>> properties, Collection<String> environmentOnly) {
        this.environmentOnly = List.copyOf(environmentOnly);
        properties.forEach(this::addAll);
    }

    /** Names of all properties, in kebab case; one that ends in {@code .*} takes any key. */
    public SortedSet<String> names() {
        SortedSet<String> all = new TreeSet<>(known);
        open.forEach(name -> all.add(name + ".*"));
        return all;
    }

    /** Throws MR-CONF-001 for the first unknown one, naming the nearest known. */
    public void check(ConfigurableEnvironment environment) {
        for (PropertySource<?> source : environment.getPropertySources()) {
            if (source instanceof EnumerablePropertySource<?> all) {
                for (String name : all.getPropertyNames()) {
                    check(name, source.getName());
                }
            }
        }
    }

    private void check(String name, String source) {
        if (name.startsWith(ENVIRONMENT_PREFIX)) {
            if (!environmentOnly.contains(name) && !isKnownVariable(name)) {
                throw unknown(name, nearest(name, knownVariables()), source);
            }
        } else if (name.startsWith(PREFIX)) {
            String bare = canonical(name);
            if (!known.contains(bare) && open.stream().noneMatch(o -> bare.startsWith(o + "."))) {
                throw unknown(name, nearest(bare, known), source);
            }
        }
    }

    private boolean isKnownVariable(String variable) {
        String bare = variable.replaceAll("_[0-9]+$", "");
        return knownVariables().contains(bare) || open.stream().anyMatch(o -> variable.startsWith(variable(o) + "_"));
    }

    private List<String> knownVariables() {
        return known.stream().map(UnknownProperties::variable).toList();
    }

    /** Spring's own rule: dots become underscores, dashes go. */
    static String variable(String property) {
        return property.replace("-", "").replace('.', '_').toUpperCase(Locale.ROOT);
    }

    private static String canonical(String name) {
        String plain = name.replaceAll("\\[[0-9]+]", "");
        return ConfigurationPropertyName.adapt(plain, '.').toString().equals(plain) ? plain : kebab(plain);
    }

    private static MillraceException unknown(String name, Optional<String> nearest, String source) {
        return new MillraceException(
                "MR-CONF-001",
                "Unknown property '" + name + "' (in " + source + ")."
                        + nearest.map(n -> " Did you mean '" + n + "'?").orElse("")
                        + " docs/configuration.md lists all.");
    }

    private static Optional<String> nearest(String name, Collection<String> candidates) {
        return candidates.stream()
                .min(Comparator.comparingInt((String c) -> distance(name, c)))
                .filter(c -> distance(name, c) <= Math.max(3, name.length() / 3));
    }

    /** Levenshtein's distance. */
    static int distance(String a, String b) {
        int[] row = new int[b.length() + 1];
        for (int j = 0; j <= b.length(); j++) {
            row[j] = j;
        }
        for (int i = 1; i <= a.length(); i++) {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.length(); j++) {
                int keep = row[j];
                int change = diagonal + (a.charAt(i - 1) == b.charAt(j - 1) ? 0 : 1);
                row[j] = Math.min(change, Math.min(row[j], row[j - 1]) + 1);
                diagonal = keep;
            }
        }
        return row[b.length()];
    }

    private void addAll(String prefix, Class<? extends Record> type) {
        for (RecordComponent component : type.getRecordComponents()) {
            String name = prefix + "." + kebab(component.getName());
            Class<?> of = component.getType();
            if (of.isRecord()) {
                addAll(name, of.asSubclass(Record.class));
            } else if (Map.class.isAssignableFrom(of)) {
                open.add(name);
            } else {
                known.add(name);
            }
        }
    }

    static String kebab(String camel) {
        return camel.replaceAll("([a-z0-9])([A-Z])", "$1-$2").toLowerCase(Locale.ROOT);
    }
}
