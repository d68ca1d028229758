package io.millrace.gateway.auth;

import io.millrace.gateway.limits.Account;
import io.millrace.gateway.limits.TenantLimits;
import java.time.Instant;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A key as it is kept: never its secret.
 *
 * @param id part of the key's text; says which one it is, and opens nothing
 * @param hash of the secret
 * @param name for people
 * @param models names it may use; empty: all
 * @param limits those that are 0 are the gateway's
 * @param expires from when on it is refused; null: never
 */
public record ApiKey(
        String id,
        SecretHash hash,
        String tenant,
        String name,
        Set<Scope> scopes,
        List<String> models,
        TenantLimits limits,
        Instant created,
        @Nullable Instant expires) {

    public ApiKey {
        scopes = Set.copyOf(scopes);
        models = List.copyOf(models);
    }

    /** Whether it is over by then. */
    public boolean expired(Instant now) {
        return expires != null && !now.isBefore(expires);
    }

    /** The same until then. */
    public ApiKey expiring(Instant end) {
        return new ApiKey(id, hash, tenant, name, scopes, models, limits, created, end);
    }

    Caller caller(TenantLimits defaults) {
        String account = limits.equals(TenantLimits.NONE) ? "tenant:" + tenant : "key:" + id;
        return new Caller(tenant, new Account(account, limits.or(defaults)), scopes, models);
    }
}
