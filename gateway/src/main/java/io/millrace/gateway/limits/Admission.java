package io.millrace.gateway.limits;

import io.millrace.gateway.node.ClusterView;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.time.Duration;
import org.jspecify.annotations.Nullable;
import reactor.core.publisher.Flux;
import reactor.core.publisher.Mono;

/** Decides, before anything is appended, whether a call may enter the log. Thread-safe. */
public final class Admission {

    private static final Duration LOOK_AGAIN = Duration.ofMillis(10);

    private final ClusterView view;
    private final Quotas quotas;
    private final long silenceMsMax;
    private final Duration hearingMax;

    /** A call that was let in; {@link #settle} wants to be called once it is over. */
    public static final class Admitted {

        private final ModelState model;
        private final Quotas.@Nullable Admitted counted;

        private Admitted(ModelState model, Quotas.@Nullable Admitted counted) {
            this.model = model;
            this.counted = counted;
        }

        public ModelState model() {
            return model;
        }

        /** Corrects the estimate by the tokens really used; later calls do nothing. */
        public void settle(long tokensUsed) {
            if (counted != null) {
                counted.end(tokensUsed);
            }
        }
    }

    /**
     * @param silenceMsMax how long Kafka may return none of this gateway's beats before calls are refused at once
     * @param hearingMax how long a call waits for gateways to hear of each other where its account has the room
     */
    public Admission(ClusterView view, Quotas quotas, long silenceMsMax, Duration hearingMax) {
        this.view = view;
        this.quotas = quotas;
        this.silenceMsMax = silenceMsMax;
        this.hearingMax = hearingMax;
    }

    /** The model of that name; throws 404, or 503 when nobody could know it or nobody serves it. */
    public ModelState model(String name) {
        long age = view.ownBeatAgeMs();
        if (age > silenceMsMax) {
            throw new ApiException(GatewayErrors.logUnavailable(age));
        }
        ModelState model = view.model(name);
        if (model == null && view.routers() == 0) {
            throw new ApiException(GatewayErrors.noRouter());
        }
        if (model == null && !view.known(name)) {
            throw new ApiException(ApiError.of(
                    404,
                    "model_not_found",
                    "model",
                    "The model '" + name + "' is not served here. GET /v1/models lists those that are."));
        }
        if (model == null || model.workers() == 0) {
            throw new ApiException(ApiError.of(
                            503,
                            "no_worker",
                            null,
                            "[MR-GW-010] No worker is alive that serves '" + name + "'. Try again, or start one.")
                    .retryAfterMs(5_000));
        }
        return model;
    }

    /**
     * Completes once the gateways have heard enough of each other to decide on the call: at once, but for an account whose share of what is
     * left is used up here while other gateways may have room; in a beat or two then.
     */
    public Mono<Void> heard(Account account, int requests, long estimatedTokens) {
        if (!mustHear(account, requests, estimatedTokens)) {
            return Mono.empty();
        }
        return Flux.interval(LOOK_AGAIN)
                .onBackpressureDrop()
                .takeUntil(turn -> !mustHear(account, requests, estimatedTokens))
                .take(hearingMax)
                .then();
    }

    private boolean mustHear(Account account, int requests, long tokens) {
        return !account.limits().equals(TenantLimits.NONE) && quotas.mustHear(account, requests, tokens);
    }

    /**
     * Lets the call in, or throws 429; a call that is refused costs nothing.
     *
     * @param account that is charged
     * @param tenant whose place in queues it takes
     * @param requests prompts of the call
     * @param estimatedTokens of all of them, prompt and output
     */
    public Admitted admit(Account account, String tenant, ModelState model, int requests, long estimatedTokens) {
        if (model.fullTenants().contains(tenant)) {
            throw queueFull(model, "yours take all the places that one tenant may have");
        }
        if (account.limits().equals(TenantLimits.NONE)) {
            if (!view.take(model, requests)) {
                throw queueFull(model, "it is full");
            }
            return new Admitted(model, null);
        }
        return switch (quotas.begin(account, requests, estimatedTokens, () -> view.take(model, requests))) {
            case Quotas.Verdict.Yes yes -> new Admitted(model, yes.call());
            case Quotas.Verdict.NoRoom none -> throw queueFull(model, "it is full");
            case Quotas.Verdict.HearFirst wait ->
                throw tooMany(
                        "This gateway's share of your limits is used up until it has heard the others.", wait.waitMs());
            case Quotas.Verdict.UsedUp up ->
                throw tooMany("Your limit of %,d %s is used up.".formatted(up.limit(), up.what()), up.waitMs());
        };
    }

    /** What that account has left under those limits. */
    public Rates rates(Account account) {
        return quotas.rates(account);
    }

    private static ApiException queueFull(ModelState model, String why) {
        return new ApiException(ApiError.of(
                        429,
                        "queue_full",
                        null,
                        "[MR-GW-012] No more requests can wait for '%s': %s; %,d requests with %,d tokens wait. Try again in %,d s."
                                .formatted(
                                        model.name(),
                                        why,
                                        model.queued(),
                                        model.queuedTokens(),
                                        model.drainMs() / 1000))
                .retryAfterMs(model.drainMs()));
    }

    private static ApiException tooMany(String why, long waitMs) {
        return new ApiException(ApiError.of(429, "rate_limit_exceeded", null, "[MR-GW-011] " + why)
                .retryAfterMs(Math.max(1, waitMs)));
    }
}
