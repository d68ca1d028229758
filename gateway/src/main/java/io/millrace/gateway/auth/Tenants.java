package io.millrace.gateway.auth;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * API keys and whose they are. Without keys everybody is the tenant {@value #EVERYBODY}. Keys are looked up by their SHA-256,
 * so that the time of a look-up says nothing about a key. Thread-safe.
 */
public final class Tenants {

    /** Tenant of all calls when no keys are configured. */
    public static final String EVERYBODY = "default";

    private static final String BEARER = "Bearer ";

    private final Map<ByteBuffer, String> tenants = new HashMap<>();

    /** @param keys API key to tenant */
    public Tenants(Map<String, String> keys) {
        keys.forEach((key, tenant) -> tenants.put(hash(key), tenant));
    }

    /** The tenant of that {@code Authorization} header; throws 401 for a missing or unknown key. */
    public String of(@Nullable String authorization) {
        if (tenants.isEmpty()) {
            return EVERYBODY;
        }
        if (authorization == null || !authorization.regionMatches(true, 0, BEARER, 0, BEARER.length())) {
            throw new ApiException(
                    ApiError.of(401, "missing_api_key", null, "Send your API key as 'Authorization: Bearer KEY'."));
        }
        String tenant =
                tenants.get(hash(authorization.substring(BEARER.length()).strip()));
        if (tenant == null) {
            throw new ApiException(ApiError.of(401, "invalid_api_key", null, "This API key is not known here."));
        }
        return tenant;
    }

    private static ByteBuffer hash(String key) {
        try {
            return ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(key.getBytes(StandardCharsets.UTF_8)));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }
}
