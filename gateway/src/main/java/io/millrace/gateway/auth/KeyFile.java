package io.millrace.gateway.auth;

import io.millrace.gateway.limits.TenantLimits;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.SecureRandom;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.DeserializationFeature;
import tools.jackson.databind.json.JsonMapper;

/**
 * The file of API keys, JSON: {@code {"keys":[{"id","salt","hash","tenant",…}]}}. It is replaced as a whole, so that a reader sees the old
 * one or the new one; commands that change it wait for each other.
 */
public final class KeyFile {

    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    private final Path path;
    private final SecureRandom random = new SecureRandom();

    /** As it stands in the file. */
    private record Stored(@Nullable List<Entry> keys) {}

    private record Entry(
            @Nullable String id,
            @Nullable String salt,
            @Nullable String hash,
            @Nullable String tenant,
            @Nullable String name,
            @Nullable List<String> scopes,
            @Nullable List<String> models,
            @Nullable Integer requestsPerMinute,
            @Nullable Integer tokensPerMinute,
            @Nullable Integer concurrent,
            @Nullable String created,
            @Nullable String expires) {}

    /** A key that was made just now, with the text that nobody sees again. */
    public record Made(KeyText text, ApiKey key) {}

    public KeyFile(Path path) {
        this.path = path;
    }

    public Path path() {
        return path;
    }

    public boolean exists() {
        return Files.exists(path);
    }

    /** Its keys; throws MR-KEY-001 when it is not what it should be, MR-KEY-002 when it cannot be read. */
    public List<ApiKey> read() {
        try {
            return parse(Files.readString(path));
        } catch (IOException e) {
            throw new MillraceException("MR-KEY-002", "The file of API keys " + path + " cannot be read: " + e, e);
        }
    }

    private List<ApiKey> parse(String text) {
        try {
            Stored stored = JSON.readValue(text, Stored.class);
            List<ApiKey> keys = new ArrayList<>();
            if (stored.keys() == null) {
                throw new IllegalArgumentException("it has no list 'keys'");
            }
            for (Entry entry : stored.keys()) {
                keys.add(key(entry, keys.size()));
            }
            return List.copyOf(keys);
        } catch (JacksonException e) {
            throw malformed(e.getOriginalMessage(), e);
        } catch (IllegalArgumentException e) {
            throw malformed(e.getMessage(), e);
        }
    }

    private static ApiKey key(Entry entry, int index) {
        String place = "keys[" + index + "].";
        String salt = needed(entry.salt(), place + "salt");
        String hash = needed(entry.hash(), place + "hash");
        try {
            return new ApiKey(
                    needed(entry.id(), place + "id"),
                    new SecretHash(salt, hash),
                    needed(entry.tenant(), place + "tenant"),
                    entry.name() == null ? "" : entry.name(),
                    scopes(entry.scopes(), place),
                    entry.models() == null ? List.of() : entry.models(),
                    new TenantLimits(
                            limit(entry.requestsPerMinute(), place + "requestsPerMinute"),
                            limit(entry.tokensPerMinute(), place + "tokensPerMinute"),
                            limit(entry.concurrent(), place + "concurrent")),
                    entry.created() == null ? Instant.EPOCH : Instant.parse(entry.created()),
                    entry.expires() == null ? null : Instant.parse(entry.expires()));
        } catch (DateTimeException e) {
            throw new IllegalArgumentException(place + "created or expires is no time such as 2030-01-31T12:00:00Z", e);
        }
    }

    private static Set<Scope> scopes(@Nullable List<String> names, String place) {
        Set<Scope> scopes = EnumSet.noneOf(Scope.class);
        for (String name : names == null ? List.of(Scope.INFERENCE.text()) : names) {
            scopes.add(Scope.parse(name)
                    .orElseThrow(() -> new IllegalArgumentException(
                            place + "scopes holds '" + name + "'; there are: " + Scope.names())));
        }
        return scopes;
    }

    private static String needed(@Nullable String value, String place) {
        if (value == null || value.isEmpty()) {
            throw new IllegalArgumentException(place + " is missing");
        }
        return value;
    }

    private static int limit(@Nullable Integer value, String place) {
        if (value != null && value < 0) {
            throw new IllegalArgumentException(place + " is negative");
        }
        return value == null ? 0 : value;
    }

    private MillraceException malformed(@Nullable String why, Exception cause) {
        return new MillraceException(
                "MR-KEY-001",
                "The file of API keys " + path + " is not what it should be: " + why
                        + ". Correct it, or make keys with './millrace keys'.",
                cause);
    }

    /** Makes a key and adds it; its id and hash are new, the rest is as in {@code like}. */
    public Made create(
            String tenant,
            String name,
            Set<Scope> scopes,
            List<String> models,
            TenantLimits limits,
            @Nullable Instant expires) {
        KeyText text = KeyText.random(random);
        ApiKey key = new ApiKey(
                text.id(),
                SecretHash.of(text.secret(), random),
                tenant,
                name,
                scopes,
                models,
                limits,
                Instant.ofEpochSecond(Instant.now().getEpochSecond()),
                expires);
        change(keys -> {
            List<ApiKey> more = new ArrayList<>(keys);
            more.add(key);
            return more;
        });
        return new Made(text, key);
    }

    /** Changes the key of that id, or takes it out where {@code change} gives null; throws MR-KEY-003 when there is none. */
    public void change(String id, UnaryOperator<@Nullable ApiKey> change) {
        change(keys -> {
            List<ApiKey> left = new ArrayList<>();
            boolean found = false;
            for (ApiKey key : keys) {
                boolean meant = key.id().equals(id);
                found |= meant;
                ApiKey now = meant ? change.apply(key) : key;
                if (now != null) {
                    left.add(now);
                }
            }
            if (!found) {
                throw new MillraceException(
                        "MR-KEY-003",
                        "There is no API key '" + id + "' in " + path + "; './millrace keys list' shows all.");
            }
            return left;
        });
    }

    private void change(UnaryOperator<List<ApiKey>> change) {
        Path whole = path.toAbsolutePath();
        Path folder = whole.getParent() == null ? whole : whole.getParent();
        try {
            Files.createDirectories(folder);
            Path lock = folder.resolve(path.getFileName() + ".lock");
            try (FileChannel channel = FileChannel.open(lock, StandardOpenOption.CREATE, StandardOpenOption.WRITE);
                    var held = channel.lock()) {
                List<ApiKey> keys = change.apply(exists() ? read() : List.of());
                Path fresh = Files.createTempFile(folder, "keys", ".tmp");
                Files.writeString(fresh, text(keys), StandardCharsets.UTF_8);
                if (FileSystems.getDefault().supportedFileAttributeViews().contains("posix")) {
                    Files.setPosixFilePermissions(fresh, PosixFilePermissions.fromString("rw-------"));
                }
                Files.move(fresh, whole, StandardCopyOption.REPLACE_EXISTING, StandardCopyOption.ATOMIC_MOVE);
                held.release();
            }
        } catch (IOException e) {
            throw new MillraceException("MR-KEY-002", "The file of API keys " + path + " cannot be written: " + e, e);
        }
    }

    private static String text(List<ApiKey> keys) {
        List<String> lines = new ArrayList<>();
        for (ApiKey key : keys) {
            JsonText json = new JsonText()
                    .object()
                    .field("id", key.id())
                    .field("salt", key.hash().salt())
                    .field("hash", key.hash().hash())
                    .field("tenant", key.tenant())
                    .field("name", key.name())
                    .name("scopes")
                    .array();
            key.scopes().stream().sorted().map(Scope::text).forEach(json::value);
            json.endArray().name("models").array();
            key.models().forEach(json::value);
            json.endArray()
                    .field("requestsPerMinute", key.limits().requestsPerMinute())
                    .field("tokensPerMinute", key.limits().tokensPerMinute())
                    .field("concurrent", key.limits().concurrent())
                    .field("created", key.created().toString())
                    .field(
                            "expires",
                            key.expires() == null ? null : key.expires().toString());
            lines.add("  " + json.endObject());
        }
        return "{\"keys\":[\n" + String.join(",\n", lines) + "\n]}\n";
    }
}
