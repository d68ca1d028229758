package io.millrace.worker.model.hub;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.model.gguf.ShardName;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Properties;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/** Models of the Hugging Face hub, kept in {@code CACHE/hub/ORG--NAME/REVISION/}, complete when {@code .complete} lists their sizes. */
final class HubSource {

    private static final int MAX_LIST_BYTES = 16 << 20;
    private static final String MARK = ".complete";
    private static final String INDEX = "model.safetensors.index.json";
    private static final Set<String> SIDE_FILES = Set.of(
            "config.json",
            "generation_config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "special_tokens_map.json",
            "added_tokens.json",
            "chat_template.jinja",
            "chat_template.json",
            "quantize_config.json",
            "quant_config.json",
            "vocab.json",
            "merges.txt",
            "vocab.txt",
            "modules.json",
            "sentence_bert_config.json",
            "1_Pooling/config.json");

    private final HubSettings settings;
    private final HubClient client;

    HubSource(HubSettings settings) {
        this.settings = settings;
        this.client = new HubClient(settings);
    }

    /** The model in the cache; null when it is not there whole. */
    @Nullable
    Path cached(ModelSpec.Hub spec) {
        Path folder = folder(spec);
        Properties sizes = marked(folder);
        if (spec.file() != null) {
            boolean whole = parts(spec.file()).stream().allMatch(name -> matches(folder, sizes, name));
            return whole ? folder.resolve(spec.file()) : null;
        }
        String model = sizes.getProperty("model");
        if (model == null) {
            return null;
        }
        for (String name : sizes.stringPropertyNames()) {
            if (!name.equals("model") && !matches(folder, sizes, name)) {
                return null;
            }
        }
        return model.isEmpty() ? folder : folder.resolve(model);
    }

    private static boolean matches(Path folder, Properties sizes, String name) {
        try {
            String size = sizes.getProperty(name);
            return size != null && size.equals(Long.toString(Files.size(folder.resolve(name))));
        } catch (IOException e) {
            return false;
        }
    }

    /** Downloads what is missing. MR-HUB-004 to -009. */
    Path download(ModelSpec.Hub spec, Progress progress) {
        if (settings.offline()) {
            throw new MillraceException(
                    "MR-HUB-009",
                    "The hub is not asked for " + spec.repository() + ": HF_HUB_OFFLINE is set. Unset it to download.");
        }
        try {
            List<String> listed = files(spec);
            return new CacheFolder(folder(spec)).locked(progress, () -> {
                Path there = cached(spec);
                return there != null ? there : fetch(spec, listed, progress);
            });
        } catch (IOException e) {
            throw unreachable(spec, e);
        }
    }

    private Path fetch(ModelSpec.Hub spec, List<String> listed, Progress progress) {
        Path folder = folder(spec);
        CacheFolder cache = new CacheFolder(folder);
        try {
            Properties sizes = marked(folder);
            List<String> wanted = wanted(spec, listed);
            if (wanted.remove(INDEX)) {
                one(spec, INDEX, sizes, progress);
                wanted.addAll(shards(folder.resolve(INDEX)));
            }
            long bytes = 0;
            List<HubClient.RemoteFile> files = new ArrayList<>();
            for (String name : wanted) {
                HubClient.RemoteFile file = client.head(spec, name);
                files.add(file);
                bytes += Math.max(0, file.size());
            }
            cache.checkSpace(bytes);
            for (HubClient.RemoteFile file : files) {
                one(spec, file, sizes, progress);
            }
            String gguf =
                    wanted.stream().filter(n -> n.endsWith(".gguf")).findFirst().orElse("");
            if (spec.file() == null) {
                sizes.setProperty("model", gguf);
                mark(folder, sizes);
            }
            String only = spec.file() == null ? gguf : spec.file();
            return only.isEmpty() ? folder : folder.resolve(only);
        } catch (IOException e) {
            throw cache.isUsable() ? unreachable(spec, e) : cache.unwritable(e);
        }
    }

    private void one(ModelSpec.Hub spec, String name, Properties sizes, Progress progress) throws IOException {
        one(spec, client.head(spec, name), sizes, progress);
    }

    private void one(ModelSpec.Hub spec, HubClient.RemoteFile file, Properties sizes, Progress progress)
            throws IOException {
        Path folder = folder(spec);
        Path target = folder.resolve(file.name());
        Files.createDirectories(target.getParent());
        if (!matches(folder, sizes, file.name()) || Files.size(target) != file.size()) {
            client.download(spec, file, target, progress);
            sizes.setProperty(file.name(), Long.toString(Files.size(target)));
            mark(folder, sizes);
        }
    }

    private static List<String> wanted(ModelSpec.Hub spec, List<String> listed) {
        if (spec.file() != null) {
            return new ArrayList<>(parts(spec.file()));
        }
        List<String> wanted = new ArrayList<>();
        listed.stream().filter(SIDE_FILES::contains).forEach(wanted::add);
        if (listed.contains(INDEX)) {
            wanted.add(INDEX);
        } else if (listed.contains("model.safetensors")) {
            wanted.add("model.safetensors");
        } else {
            wanted.clear();
            wanted.addAll(parts(onlyGguf(spec, listed)));
        }
        return wanted;
    }

    /** A file of a split model means all of them. */
    private static List<String> parts(String name) {
        ShardName shard = ShardName.parse(name);
        return shard == null ? List.of(name) : shard.names();
    }

    private static String onlyGguf(ModelSpec.Hub spec, List<String> listed) {
        List<String> ggufs = listed.stream()
                .filter(n -> n.endsWith(".gguf"))
                .filter(n -> !(ShardName.parse(n) instanceof ShardName shard) || shard.number() == 1)
                .sorted()
                .toList();
        if (ggufs.size() == 1) {
            return ggufs.getFirst();
        }
        String choice = ggufs.isEmpty()
                ? "it has neither model.safetensors nor a .gguf file. Choose a model in one of these formats."
                : "it has " + ggufs.size() + " .gguf files. Choose one, as in hf:" + spec.repository() + ":"
                        + ggufs.getFirst() + ". There are " + String.join(", ", ggufs) + ".";
        throw new MillraceException("MR-HUB-006", "hf:" + spec.repository() + ": " + choice);
    }

    private static Set<String> shards(Path index) throws IOException {
        Set<String> names = new TreeSet<>();
        try {
            JsonNode map =
                    JsonMapper.shared().readTree(Files.readAllBytes(index)).path("weight_map");
            map.values().forEach(v -> names.add(v.asString()));
        } catch (JacksonException e) {
            throw new IOException(INDEX + " is not JSON", e);
        }
        for (String name : names) {
            if (!isSafe(name)) {
                throw new IOException(INDEX + " names " + name + ", which is no file of the model");
            }
        }
        return names;
    }

    /** The repository's files; bounded in time as a whole, since a name look-up has no timeout of its own. */
    private List<String> files(ModelSpec.Hub spec) throws IOException {
        String path = "/api/models/" + spec.repository()
                + (spec.revision().equals("main")
                        ? ""
                        : "/revision/" + spec.revision().replace("/", "%2F"));
        CompletableFuture<byte[]> answer = new CompletableFuture<>();
        Thread.ofVirtual().name("hub-list").start(() -> {
            try {
                answer.complete(client.get(path, MAX_LIST_BYTES));
            } catch (IOException | RuntimeException e) {
                answer.completeExceptionally(e);
            }
        });
        try {
            byte[] body = answer.orTimeout(
                            2L * settings.connectTimeoutMs() + settings.readTimeoutMs() / 2, TimeUnit.MILLISECONDS)
                    .join();
            List<String> names = new ArrayList<>();
            JsonMapper.shared()
                    .readTree(body)
                    .path("siblings")
                    .values()
                    .forEach(s -> names.add(s.path("rfilename").asString("")));
            names.removeIf(n -> !isSafe(n));
            return names;
        } catch (CompletionException e) {
            if (e.getCause() instanceof MillraceException coded) {
                throw coded;
            }
            if (e.getCause() instanceof TimeoutException) {
                throw new IOException("no answer from " + settings.endpoint() + " in time", e);
            }
            throw e.getCause() instanceof IOException io ? io : new IOException(e.getCause());
        } catch (JacksonException e) {
            throw new IOException(path + " does not answer JSON; is " + settings.endpoint() + " a hub?", e);
        }
    }

    private static boolean isSafe(String name) {
        return !name.isEmpty() && !name.startsWith("/") && !name.contains("..") && !name.contains("\\");
    }

    private MillraceException unreachable(ModelSpec.Hub spec, IOException e) {
        return new MillraceException(
                "MR-HUB-004",
                "The hub " + settings.endpoint() + " did not give " + spec.repository() + ": " + e
                        + ". Check the network and HF_ENDPOINT; a download goes on where it stopped.",
                e);
    }

    private Path folder(ModelSpec.Hub spec) {
        return settings.cache()
                .resolve("hub")
                .resolve(spec.repository().replace("/", "--"))
                .resolve(spec.revision().replace("/", "--").toLowerCase(Locale.ROOT));
    }

    private static Properties marked(Path folder) {
        Properties sizes = new Properties();
        try (var in = Files.newBufferedReader(folder.resolve(MARK))) {
            sizes.load(in);
        } catch (IOException | IllegalArgumentException e) {
            sizes.clear();
        }
        return sizes;
    }

    private static void mark(Path folder, Properties sizes) throws IOException {
        Path part = folder.resolve(MARK + ".part");
        try (var out = Files.newBufferedWriter(part)) {
            sizes.store(out, "Files of this model that are whole, and their sizes");
        }
        CacheFolder.publish(part, folder.resolve(MARK));
    }
}
