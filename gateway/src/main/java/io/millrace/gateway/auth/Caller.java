package io.millrace.gateway.auth;

import io.millrace.gateway.limits.Account;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.util.List;
import java.util.Set;

/**
 * Who sends a request.
 *
 * @param tenant whose it is
 * @param account what its limits are counted for: the tenant, or a key with limits of its own
 * @param models names it may use, {@code *} at the end for any rest; empty: all
 */
public record Caller(String tenant, Account account, Set<Scope> scopes, List<String> models) {

    public Caller {
        scopes = Set.copyOf(scopes);
        models = List.copyOf(models);
    }

    /** Throws 403 for a path that the key is not made for. */
    public void checkPath(String path) {
        Scope wanted = Scope.of(path);
        if (scopes.stream().noneMatch(scope -> scope.grants(wanted))) {
            throw new ApiException(ApiError.of(
                    403,
                    "insufficient_permissions",
                    null,
                    "[MR-GW-014] This API key is not made for " + path + ": it lacks the scope '" + wanted.text()
                            + "'."));
        }
    }

    /** Whether it may use the model of that name. */
    public boolean mayUse(String model) {
        return models.isEmpty() || models.stream().anyMatch(name -> matches(name, model));
    }

    /** Throws 403 for a key that is made for some models, where what is asked for may use any. */
    public void checkAllModels() {
        if (!models.isEmpty()) {
            throw new ApiException(
                    ApiError.of(
                            403,
                            "insufficient_permissions",
                            null,
                            "[MR-GW-014] This API key is made for some models only, so it makes no batches, whose lines may name any."));
        }
    }

    private static boolean matches(String name, String model) {
        return name.endsWith("*") ? model.startsWith(name.substring(0, name.length() - 1)) : name.equals(model);
    }

    /** 403 for a model that the key is not made for. */
    public static ApiException notForModel(String model) {
        return new ApiException(ApiError.of(
                403,
                "model_not_allowed",
                "model",
                "[MR-GW-014] This API key is not made for the model '" + model
                        + "'. GET /v1/models lists those that it may use."));
    }
}
