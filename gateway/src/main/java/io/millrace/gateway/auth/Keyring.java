package io.millrace.gateway.auth;

import io.millrace.gateway.limits.Account;
import io.millrace.gateway.limits.TenantLimits;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.error.MillraceException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.SecureRandom;
import java.time.Duration;
import java.time.Instant;
import java.time.InstantSource;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The keys that open this gateway: those of its configuration, and those of a file that is looked at again every second. Where there are
 * neither, nobody is asked for a key, and everybody is the tenant {@value #EVERYBODY}; a file that once was there and is gone, or is
 * malformed, opens nothing new: the keys read last stay. Thread-safe.
 */
public final class Keyring {

    /** Tenant of all calls when there are no keys. */
    public static final String EVERYBODY = "default";

    private static final Logger LOG = LoggerFactory.getLogger(Keyring.class);
    private static final long LOOK_AGAIN_NANOS = Duration.ofSeconds(1).toNanos();

    private final List<ApiKey> configured = new ArrayList<>();
    private final @Nullable KeyFile file;
    private final TenantLimits defaults;
    private final InstantSource clock;
    private final LongSupplier nanos;
    private final Caller everybody;
    /** What an unknown id is compared with, so that it takes as long as a known one. */
    private final SecretHash nobody;

    private final AtomicLong lookedNanos = new AtomicLong();
    private volatile Loaded loaded = new Loaded("", false, Map.of());

    private record Loaded(String stamp, boolean asked, Map<String, ApiKey> keys) {}

    /**
     * @param keys API key to tenant, of the configuration
     * @param file of further keys; it need not be there yet; throws MR-KEY-001 or -002 when it is there but cannot be used
     * @param defaults limits of tenants and of keys without any
     */
    public Keyring(Map<String, String> keys, @Nullable KeyFile file, TenantLimits defaults, InstantSource clock) {
        this(keys, file, defaults, clock, System::nanoTime);
    }

    /** @param nanos tells when the file is due to be looked at again, as {@link System#nanoTime} does */
    Keyring(
            Map<String, String> keys,
            @Nullable KeyFile file,
            TenantLimits defaults,
            InstantSource clock,
            LongSupplier nanos) {
        this.nanos = nanos;
        this.file = file;
        this.defaults = defaults;
        this.clock = clock;
        this.everybody =
                new Caller(EVERYBODY, new Account("tenant:" + EVERYBODY, defaults), Set.of(Scope.ADMIN), List.of());
        SecureRandom random = new SecureRandom();
        this.nobody = SecretHash.of("", random);
        keys.forEach((key, tenant) -> configured.add(new ApiKey(
                "",
                SecretHash.of(key, random),
                tenant,
                "",
                Set.of(Scope.INFERENCE),
                List.of(),
                TenantLimits.NONE,
                Instant.EPOCH,
                null)));
        if (file != null) {
            loaded = load(file, stamp(file), loaded);
        }
        lookedNanos.set(nanos.getAsLong());
    }

    /** Whose key that is; throws 401 for none, or one that is unknown or expired. */
    public Caller of(@Nullable String key) {
        Loaded now = current();
        if (configured.isEmpty() && !now.asked()) {
            return everybody;
        }
        if (key == null || key.isEmpty()) {
            throw new ApiException(ApiError.of(
                    401,
                    "missing_api_key",
                    null,
                    "Send your API key as 'Authorization: Bearer KEY' or 'x-api-key: KEY'."));
        }
        ApiKey found = find(key, now.keys());
        if (found == null) {
            throw new ApiException(ApiError.of(401, "invalid_api_key", null, "This API key is not known here."));
        }
        if (found.expired(clock.instant())) {
            throw new ApiException(ApiError.of(
                    401,
                    "invalid_api_key",
                    null,
                    "This API key has expired (at " + found.expires() + "). Ask for a new one."));
        }
        return found.caller(defaults);
    }

    private @Nullable ApiKey find(String key, Map<String, ApiKey> keys) {
        ApiKey found = null;
        for (ApiKey each : configured) {
            if (each.hash().matches(key)) {
                found = each;
            }
        }
        KeyText text = KeyText.parse(key);
        ApiKey named = text == null ? null : keys.get(text.id());
        boolean right = (named == null ? nobody : named.hash()).matches(text == null ? key : text.secret());
        return named != null && right ? named : found;
    }

    private Loaded current() {
        long looked = lookedNanos.get();
        long now = nanos.getAsLong();
        if (file != null && now - looked > LOOK_AGAIN_NANOS && lookedNanos.compareAndSet(looked, now)) {
            String stamp = stamp(file);
            Loaded before = loaded;
            if (!stamp.equals(before.stamp())) {
                loaded = reload(file, stamp, before);
            }
        }
        return loaded;
    }

    private static Loaded reload(KeyFile file, String stamp, Loaded before) {
        try {
            Loaded fresh = load(file, stamp, before);
            LOG.info("API keys: {} in {}", fresh.keys().size(), file.path());
            return fresh;
        } catch (MillraceException unusable) {
            LOG.error("{}; the keys read before stay", unusable.toString());
            return new Loaded(stamp, true, before.keys());
        }
    }

    private static Loaded load(KeyFile file, String stamp, Loaded before) {
        if (stamp.isEmpty()) {
            if (before.asked()) {
                LOG.warn("the file of API keys {} is gone; the keys read before stay", file.path());
            }
            return new Loaded("", before.asked(), before.keys());
        }
        Map<String, ApiKey> keys = new HashMap<>();
        file.read().forEach(key -> keys.put(key.id(), key));
        return new Loaded(stamp, true, keys);
    }

    /** Changes with the file; empty when there is none. */
    private static String stamp(KeyFile file) {
        try {
            var seen = Files.readAttributes(file.path(), BasicFileAttributes.class);
            return seen.lastModifiedTime() + "/" + seen.size() + "/" + seen.fileKey();
        } catch (IOException none) {
            return "";
        }
    }
}
