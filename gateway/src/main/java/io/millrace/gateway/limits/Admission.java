package io.millrace.gateway.limits;

import io.github.bucket4j.Bucket;
import io.github.bucket4j.ConsumptionProbe;
import io.millrace.gateway.node.ClusterView;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.time.Duration;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Decides, before anything is appended, whether a call may enter the log. Thread-safe. */
public final class Admission {

    private final ClusterView view;
    private final long silenceMsMax;
    private final Map<Named, Account> accounts = new ConcurrentHashMap<>();

    /** An account under those limits: with others it is another one. */
    private record Named(String name, TenantLimits limits) {}

    /** What an account has used of its limits. */
    private record Account(
            TenantLimits limits,
            @Nullable Bucket requests,
            @Nullable Bucket tokens,
            AtomicInteger running) {}

    /** A call that was let in; {@link #settle} wants to be called once it is over. */
    public final class Admitted {

        private final ModelState model;
        private final Account account;
        private final long estimate;
        private final AtomicBoolean settled = new AtomicBoolean();

        private Admitted(ModelState model, Account account, long estimate) {
            this.model = model;
            this.account = account;
            this.estimate = estimate;
        }

        public ModelState model() {
            return model;
        }

        /** Corrects the estimate by the tokens really used; later calls do nothing. */
        public void settle(long tokensUsed) {
            if (settled.compareAndSet(false, true)) {
                account.running().decrementAndGet();
                Bucket tokens = account.tokens();
                int perMinute = account.limits().tokensPerMinute();
                if (tokens != null && tokensUsed < estimate) {
                    tokens.addTokens(Math.min(estimate, perMinute) - Math.min(tokensUsed, perMinute));
                } else if (tokens != null && tokensUsed > estimate) {
                    tokens.consumeIgnoringRateLimits(tokensUsed - estimate);
                }
            }
        }
    }

    /** @param silenceMsMax how long Kafka may return none of this gateway's beats before calls are refused at once */
    public Admission(ClusterView view, long silenceMsMax) {
        this.view = view;
        this.silenceMsMax = silenceMsMax;
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
     * Lets the call in, or throws 429; a call that is refused costs nothing.
     *
     * @param name of the account that is charged
     * @param limits of that account
     * @param requests prompts of the call
     * @param estimatedTokens of all of them, prompt and output
     */
    public Admitted admit(String name, TenantLimits limits, ModelState model, int requests, long estimatedTokens) {
        Account account = account(name, limits);
        int running = account.running().incrementAndGet();
        long spentRequests = 0;
        long spentTokens = 0;
        try {
            if (limits.concurrent() > 0 && running > limits.concurrent()) {
                throw tooMany("concurrent requests", limits.concurrent(), 1_000);
            }
            spentRequests = take(account.requests(), requests, limits.requestsPerMinute(), "requests per minute");
            spentTokens = take(account.tokens(), estimatedTokens, limits.tokensPerMinute(), "tokens per minute");
            if (!view.take(model, requests)) {
                throw queueFull(model);
            }
        } catch (ApiException refused) {
            account.running().decrementAndGet();
            giveBack(account.requests(), spentRequests);
            giveBack(account.tokens(), spentTokens);
            throw refused;
        }
        return new Admitted(model, account, estimatedTokens);
    }

    /** What that account has left under those limits. */
    public Rates rates(String name, TenantLimits limits) {
        Account account = account(name, limits);
        return new Rates(
                rate(account.requests(), limits.requestsPerMinute()), rate(account.tokens(), limits.tokensPerMinute()));
    }

    private static Rates.@Nullable Rate rate(@Nullable Bucket bucket, int perMinute) {
        if (bucket == null) {
            return null;
        }
        long left = Math.clamp(bucket.getAvailableTokens(), 0, perMinute);
        long resetMs = (perMinute - left) * Duration.ofMinutes(1).toMillis() / perMinute;
        return new Rates.Rate(perMinute, left, resetMs);
    }

    private Account account(String name, TenantLimits limits) {
        return accounts.computeIfAbsent(
                new Named(name, limits),
                fresh -> new Account(
                        limits,
                        bucket(limits.requestsPerMinute()),
                        bucket(limits.tokensPerMinute()),
                        new AtomicInteger()));
    }

    private static @Nullable Bucket bucket(int perMinute) {
        return perMinute == 0
                ? null
                : Bucket.builder()
                        .addLimit(limit -> limit.capacity(perMinute).refillGreedy(perMinute, Duration.ofMinutes(1)))
                        .build();
    }

    /** Takes that much, or all that a minute holds when it is more, and says how much it took; throws 429. */
    private static long take(@Nullable Bucket bucket, long wanted, int perMinute, String what) {
        if (bucket == null) {
            return 0;
        }
        long taken = Math.clamp(wanted, 1, perMinute);
        ConsumptionProbe probe = bucket.tryConsumeAndReturnRemaining(taken);
        if (!probe.isConsumed()) {
            throw tooMany(what, perMinute, probe.getNanosToWaitForRefill() / 1_000_000);
        }
        return taken;
    }

    private static void giveBack(@Nullable Bucket bucket, long taken) {
        if (bucket != null && taken > 0) {
            bucket.addTokens(taken);
        }
    }

    private static ApiException queueFull(ModelState model) {
        return new ApiException(ApiError.of(
                        429,
                        "queue_full",
                        null,
                        "[MR-GW-012] The queue of '%s' is full: %,d requests with %,d tokens wait. Try again in %,d s."
                                .formatted(model.name(), model.queued(), model.queuedTokens(), model.drainMs() / 1000))
                .retryAfterMs(model.drainMs()));
    }

    private static ApiException tooMany(String what, int limit, long waitMs) {
        return new ApiException(ApiError.of(
                        429,
                        "rate_limit_exceeded",
                        null,
                        "[MR-GW-011] Your limit of %,d %s is used up.".formatted(limit, what))
                .retryAfterMs(Math.max(1, waitMs)));
    }
}
