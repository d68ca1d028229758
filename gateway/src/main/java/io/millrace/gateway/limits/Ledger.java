package io.millrace.gateway.limits;

import io.millrace.shared.proto.AccountUse;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * What an account has used of its limits: by what all gateways have heard of each other in {@code members}, which is the same for all of
 * them, and beyond it by what was let in here since. Not thread-safe.
 */
final class Ledger {

    private static final int DURATIONS = 32;

    final String name;
    final long serial;
    TenantLimits limits;
    /** Requests and tokens of the minute, as heard. */
    final Drain requests;

    final Drain tokens;
    /** Counted here since the counter began, and how much of it the log has brought back. */
    final Counts own = new Counts();

    final Counts heard = new Counts();
    /** Calls that run here. */
    int running;
    /** As told last. */
    int toldRunning;
    /** The least that others may think. */
    int thoughtRunning;
    /** What other gateways said last. */
    final Map<String, AccountUse> others = new HashMap<>();

    private final ArrayDeque<Long> begun = new ArrayDeque<>();
    private final ArrayDeque<Long> durations = new ArrayDeque<>();

    /** Counters that only grow. */
    static final class Counts {
        long requests;
        long tokens;
        long returned;

        void set(long newRequests, long newTokens, long newReturned) {
            requests = Math.max(requests, newRequests);
            tokens = Math.max(tokens, newTokens);
            returned = Math.max(returned, newReturned);
        }
    }

    Ledger(String name, long serial, TenantLimits limits, long nowNanos) {
        this.name = name;
        this.serial = serial;
        this.limits = limits;
        requests = new Drain(nowNanos);
        tokens = new Drain(nowNanos);
    }

    /** Requests let in here that not all have heard of. */
    long unheardRequests() {
        return own.requests - heard.requests;
    }

    /** Tokens, the same; at least none. */
    long unheardTokens() {
        return Math.max(0, own.tokens - own.returned - (heard.tokens - heard.returned));
    }

    /** Whether the log has not brought back all there is to say. */
    boolean news() {
        return own.requests != heard.requests
                || own.tokens != heard.tokens
                || own.returned != heard.returned
                || running != thoughtRunning;
    }

    int othersRunning() {
        int sum = 0;
        for (AccountUse other : others.values()) {
            sum += other.getRunning();
        }
        return sum;
    }

    /** Counts a call in. */
    void begin(long callRequests, long callTokens, long nowNanos) {
        own.requests += callRequests;
        own.tokens += callTokens;
        running++;
        begun.add(nowNanos);
    }

    /** Counts a call out: what it was charged, and what it used. */
    void end(long charged, long usedTokens, long beganNanos, long nowNanos) {
        running--;
        begun.removeFirstOccurrence(beganNanos);
        durations.add(nowNanos - beganNanos);
        if (durations.size() > DURATIONS) {
            durations.removeFirst();
        }
        if (usedTokens > charged) {
            own.tokens += usedTokens - charged;
        } else {
            own.returned += charged - usedTokens;
        }
    }

    /** The log has brought back what this gateway said: from now on it counts as heard. */
    void hearOwn(long requestsTold, long tokensTold, long returnedTold, long nowNanos) {
        long requestsBefore = heard.requests;
        long tokensBefore = heard.tokens - heard.returned;
        heard.set(requestsTold, tokensTold, returnedTold);
        requests.charge(heard.requests - (double) requestsBefore, limits.requestsPerMinute(), nowNanos);
        tokens.charge(heard.tokens - heard.returned - (double) tokensBefore, limits.tokensPerMinute(), nowNanos);
    }

    /** Another gateway's word; {@code before} is its last one of the same counter, null when that began after this one listened. */
    void hear(AccountUse use, @Nullable AccountUse before, long nowNanos) {
        long requestsMore = use.getRequests() - (before == null ? 0 : before.getRequests());
        long tokensMore = use.getTokens()
                - use.getTokensReturned()
                - (before == null ? 0 : before.getTokens() - before.getTokensReturned());
        requests.charge(requestsMore, limits.requestsPerMinute(), nowNanos);
        tokens.charge(tokensMore, limits.tokensPerMinute(), nowNanos);
    }

    /** Whether nothing of it needs to be known. */
    boolean idle(long nowNanos) {
        return running == 0
                && thoughtRunning == 0
                && !news()
                && othersRunning() == 0
                && requests.used(limits.requestsPerMinute(), nowNanos) == 0
                && tokens.used(limits.tokensPerMinute(), nowNanos) == 0;
    }

    /**
     * Milliseconds until one of its calls here will probably be over: when the oldest is as old as the longest of the last ones; one that
     * is older already is given its age again.
     */
    long untilOneEndsMs(long nowNanos) {
        Long oldest = begun.peekFirst();
        if (oldest == null) {
            return 1_000;
        }
        long age = nowNanos - oldest;
        long longest = 0;
        for (long each : durations) {
            longest = Math.max(longest, each);
        }
        return (longest > age ? longest - age : Math.max(age, 1_000_000_000L)) / 1_000_000;
    }

    AccountUse told(long nowNanos) {
        toldRunning = running;
        thoughtRunning = Math.min(thoughtRunning, running);
        return AccountUse.newBuilder()
                .setAccount(name)
                .setSerial(serial)
                .setRequests(own.requests)
                .setTokens(own.tokens)
                .setTokensReturned(own.returned)
                .setRunning(running)
                .setRequestsPerMinute(limits.requestsPerMinute())
                .setTokensPerMinute(limits.tokensPerMinute())
                .setConcurrent(limits.concurrent())
                .setRequestsUsed(requests.used(limits.requestsPerMinute(), nowNanos) + unheardRequests())
                .setTokensUsed(tokens.used(limits.tokensPerMinute(), nowNanos) + unheardTokens())
                .build();
    }
}
