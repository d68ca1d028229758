package io.millrace.gateway.limits;

import io.millrace.gateway.node.Gossip;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.AccountUse;
import io.millrace.shared.proto.MemberBeat;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.BooleanSupplier;
import java.util.function.IntUnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * What each account has used of its limits at all gateways together. A gateway says in its beats what it let in, and what has come back
 * through {@code members} counts as <em>heard</em>: a fold of that topic, so all gateways know about the same. Before its own word has come back,
 * each of G gateways may let in one in 2 G of what is left by it, but one call of any size always. So they let in what the limit allows
 * and at most one call more for each gateway but one, while they read {@code members} within a beat of each other. Thread-safe.
 */
public final class Quotas implements Gossip {

    /** Accounts in one beat. */
    static final int TOLD_MAX = 512;

    /** Of these, such as did not change. */
    private static final int AGAIN_MAX = 64;

    private final String node;
    private final IntUnaryOperator share;
    private final Clock clock;
    /** Until what was let in has been told, and come back. */
    private final long hearingMs;

    private final long incarnation = new SecureRandom().nextLong();
    private final LinkedHashMap<String, Ledger> ledgers = new LinkedHashMap<>();
    private final Map<String, Source> sources = new HashMap<>();
    private Set<String> gateways = Set.of();
    private long begun;

    /** Another gateway's process. */
    private static final class Source {
        final long incarnation;
        /** Counters that it had begun when it was heard last: of those the beginning is not known here. */
        long begun;

        Source(long incarnation, long begun) {
            this.incarnation = incarnation;
            this.begun = begun;
        }
    }

    /** Whether a call may begin. */
    sealed interface Verdict {

        /** It may; {@code call} counts it out. */
        record Yes(Admitted call) implements Verdict {}

        /** Its account lets it in, but there is no room elsewhere. */
        record NoRoom() implements Verdict {}

        /** It may as soon as the gateways have heard of each other. */
        record HearFirst(long waitMs) implements Verdict {}

        /** It may not; {@code what} of its limits is used up, and {@code waitMs} later it may. */
        record UsedUp(String what, int limit, long waitMs) implements Verdict {}
    }

    /** @param beatMs between two beats of this gateway */
    public Quotas(String node, long beatMs, Clock clock) {
        this(node, beatMs, clock, Quotas::share);
    }

    /** @param share by what each of so many gateways divides what is left; the protocol's is {@link #share} */
    Quotas(String node, long beatMs, Clock clock, IntUnaryOperator share) {
        this.share = share;
        this.node = node;
        this.clock = clock;
        this.hearingMs = 2 * beatMs + 100;
    }

    @Override
    public long incarnation() {
        return incarnation;
    }

    /**
     * Lets the call in and counts it, if its account's limits allow it and there is {@code room} elsewhere; tokens beyond a minute's are counted
     * as a minute's, the rest when it ends.
     */
    synchronized Verdict begin(Account account, int requests, long tokens, BooleanSupplier room) {
        Ledger ledger = ledger(account);
        Verdict no = refusal(ledger, requests, tokens);
        if (no != null) {
            return no;
        }
        if (!room.getAsBoolean()) {
            return new Verdict.NoRoom();
        }
        long now = clock.nanos();
        long charged = account.limits().tokensPerMinute() == 0
                ? tokens
                : Math.clamp(tokens, 1, account.limits().tokensPerMinute());
        long counted = account.limits().requestsPerMinute() == 0
                ? requests
                : Math.clamp(requests, 1, account.limits().requestsPerMinute());
        ledger.begin(counted, charged, now);
        alone(ledger, now);
        return new Verdict.Yes(new Admitted(ledger, charged, now));
    }

    /** Whether the call would be let in as soon as the gateways have heard of each other. */
    synchronized boolean mustHear(Account account, int requests, long tokens) {
        return refusal(ledger(account), requests, tokens) instanceof Verdict.HearFirst;
    }

    /** Why its account does not let the call in now, by the limit that takes longest to allow it; null when it does. */
    private @Nullable Verdict refusal(Ledger ledger, int requests, long tokens) {
        long now = clock.nanos();
        TenantLimits limits = ledger.limits;
        Verdict first = longer(
                concurrent(ledger, now),
                rate(
                        limits.requestsPerMinute(),
                        ledger.requests.used(limits.requestsPerMinute(), now),
                        ledger.unheardRequests(),
                        requests,
                        "requests per minute"));
        return longer(
                first,
                rate(
                        limits.tokensPerMinute(),
                        ledger.tokens.used(limits.tokensPerMinute(), now),
                        ledger.unheardTokens(),
                        tokens,
                        "tokens per minute"));
    }

    private static @Nullable Verdict longer(@Nullable Verdict one, @Nullable Verdict other) {
        if (one instanceof Verdict.UsedUp used) {
            return other instanceof Verdict.UsedUp up && up.waitMs() > used.waitMs() ? other : one;
        }
        return other instanceof Verdict.UsedUp || one == null ? other : one;
    }

    private @Nullable Verdict rate(int limit, double used, long unheard, long wanted, String what) {
        if (limit == 0) {
            return null;
        }
        long amount = Math.clamp(wanted, 1, limit);
        double left = limit - used;
        if (left >= unheard + amount) {
            return unheard == 0 || unheard + amount <= left / share.applyAsInt(sharers())
                    ? null
                    : new Verdict.HearFirst(hearingMs);
        }
        long waitMs = Drain.millis(unheard + amount - left, limit) + (unheard > 0 ? hearingMs : 1);
        return new Verdict.UsedUp(what, limit, waitMs);
    }

    private @Nullable Verdict concurrent(Ledger ledger, long now) {
        int limit = ledger.limits.concurrent();
        if (limit == 0 || ledger.running < ledger.thoughtRunning) {
            return null;
        }
        int left = limit - ledger.othersRunning() - ledger.thoughtRunning;
        int unheard = ledger.running - ledger.thoughtRunning;
        if (left >= unheard + 1) {
            return unheard == 0 || unheard + 1 <= left / share.applyAsInt(sharers())
                    ? null
                    : new Verdict.HearFirst(hearingMs);
        }
        return new Verdict.UsedUp("concurrent requests", limit, ledger.untilOneEndsMs(now));
    }

    /** Gateways that share what is left, this one among them. */
    private int sharers() {
        return Math.max(1, gateways.contains(node) ? gateways.size() : gateways.size() + 1);
    }

    /** By what a share is divided: half of what is left stays back for calls that others let in while they had not heard of ours. */
    static int share(int sharers) {
        return sharers == 1 ? 1 : 2 * sharers;
    }

    /** A call that counts, until it has ended. */
    final class Admitted {

        private final Ledger ledger;
        private final long charged;
        private final long beganNanos;
        private boolean over;

        private Admitted(Ledger ledger, long charged, long beganNanos) {
            this.ledger = ledger;
            this.charged = charged;
            this.beganNanos = beganNanos;
        }

        /** Counts the call out, and the tokens it really used; later calls do nothing. */
        void end(long tokensUsed) {
            synchronized (Quotas.this) {
                if (!over) {
                    over = true;
                    long now = clock.nanos();
                    ledger.end(charged, tokensUsed, beganNanos, now);
                    alone(ledger, now);
                }
            }
        }
    }

    /** With nobody else to agree with, everything is heard at once. */
    private void alone(Ledger ledger, long now) {
        if (sharers() == 1) {
            ledger.hearOwn(ledger.own.requests, ledger.own.tokens, ledger.own.returned, now);
            ledger.thoughtRunning = ledger.running;
        }
    }

    /** What the account has left under those limits. */
    synchronized Rates rates(Account account) {
        TenantLimits limits = account.limits();
        Ledger ledger = ledgers.get(account.name());
        long now = clock.nanos();
        double requests =
                ledger == null ? 0 : ledger.requests.used(limits.requestsPerMinute(), now) + ledger.unheardRequests();
        double tokens = ledger == null ? 0 : ledger.tokens.used(limits.tokensPerMinute(), now) + ledger.unheardTokens();
        return new Rates(rate(requests, limits.requestsPerMinute()), rate(tokens, limits.tokensPerMinute()));
    }

    private static Rates.@Nullable Rate rate(double used, int limit) {
        if (limit == 0) {
            return null;
        }
        long left = Math.clamp((long) Math.floor(limit - used + 1e-9), 0, limit);
        return new Rates.Rate(limit, left, Drain.millis(limit - (double) left, limit));
    }

    private Ledger ledger(Account account) {
        Ledger ledger = ledgers.computeIfAbsent(
                account.name(), fresh -> new Ledger(fresh, ++begun, account.limits(), clock.nanos()));
        ledger.limits = account.limits();
        return ledger;
    }

    @Override
    public synchronized Told tell() {
        long now = clock.nanos();
        ledgers.values().removeIf(ledger -> ledger.idle(now));
        List<Ledger> told = new ArrayList<>();
        List<Ledger> again = new ArrayList<>();
        for (Ledger ledger : ledgers.values()) {
            if (ledger.news() && told.size() < TOLD_MAX - AGAIN_MAX) {
                told.add(ledger);
            } else if (again.size() < AGAIN_MAX) {
                again.add(ledger);
            }
        }
        told.addAll(again);
        List<AccountUse> uses = new ArrayList<>();
        for (Ledger ledger : told) {
            uses.add(ledger.told(now));
            // Behind the others, so that all have their turn.
            ledgers.remove(ledger.name);
            ledgers.put(ledger.name, ledger);
        }
        return new Told(uses, begun);
    }

    @Override
    public synchronized void heard(MemberBeat beat, Set<String> live) {
        gateways = Set.copyOf(live);
        forgetGone(beat);
        if (beat.getRole() != MemberBeat.Role.GATEWAY || beat.getLeaving()) {
            return;
        }
        long now = clock.nanos();
        if (beat.getNode().equals(node) && beat.getIncarnation() == incarnation) {
            beat.getAccountsList().forEach(use -> hearOwn(use, now));
            return;
        }
        Source source = sources.get(beat.getNode());
        if (source == null || source.incarnation != beat.getIncarnation()) {
            source = new Source(beat.getIncarnation(), beat.getAccountsBegun());
            sources.put(beat.getNode(), source);
            ledgers.values().forEach(ledger -> ledger.others.remove(beat.getNode()));
        }
        long known = source.begun;
        for (AccountUse use : beat.getAccountsList()) {
            hear(beat.getNode(), use, use.getSerial() > known, now);
            source.begun = Math.max(source.begun, use.getSerial());
        }
    }

    private void hearOwn(AccountUse use, long now) {
        Ledger ledger = ledgers.get(use.getAccount());
        if (ledger != null && ledger.serial == use.getSerial()) {
            ledger.hearOwn(use.getRequests(), use.getTokens(), use.getTokensReturned(), now);
            ledger.thoughtRunning = Math.min(use.getRunning(), ledger.toldRunning);
        }
    }

    /** @param fresh the counter began after this gateway listened, so from nothing */
    private void hear(String from, AccountUse use, boolean fresh, long now) {
        Ledger ledger = ledgers.computeIfAbsent(
                use.getAccount(),
                name -> new Ledger(
                        name,
                        ++begun,
                        new TenantLimits(use.getRequestsPerMinute(), use.getTokensPerMinute(), use.getConcurrent()),
                        now));
        AccountUse before = ledger.others.get(from);
        if (before != null && before.getSerial() != use.getSerial()) {
            before = null;
        }
        if (before != null || fresh) {
            ledger.hear(use, before, now);
        } else {
            ledger.requests.atLeast(use.getRequestsUsed(), ledger.limits.requestsPerMinute(), now);
            ledger.tokens.atLeast(use.getTokensUsed(), ledger.limits.tokensPerMinute(), now);
        }
        ledger.others.put(from, use);
    }

    /** Calls of gateways that are gone do not run any more; what they used stays used. */
    private void forgetGone(MemberBeat beat) {
        Iterator<Map.Entry<String, Source>> each = sources.entrySet().iterator();
        while (each.hasNext()) {
            String name = each.next().getKey();
            if (!gateways.contains(name) && !(name.equals(beat.getNode()) && !beat.getLeaving())) {
                each.remove();
                ledgers.values().forEach(ledger -> ledger.others.remove(name));
            }
        }
    }

    /** Accounts that are remembered, for tests. */
    synchronized int size() {
        return ledgers.size();
    }
}
