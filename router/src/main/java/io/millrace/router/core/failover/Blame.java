package io.millrace.router.core.failover;

import io.millrace.shared.proto.Claim;
import org.jspecify.annotations.Nullable;

/**
 * Crashes that a request may be the cause of.
 *
 * @param crashes all of them
 * @param solo those while it ran alone on its worker
 */
public record Blame(int crashes, int solo) {

    public static final Blame NONE = new Blame(0, 0);

    /** What the journal's current claim says. */
    public static Blame of(@Nullable Claim claim) {
        return claim == null ? NONE : new Blame(claim.getBlamed(), claim.getBlamedSolo());
    }

    public Blame plus(Blame other) {
        return new Blame(crashes + other.crashes, solo + other.solo);
    }

    /** One more crash. */
    public Blame crash(boolean alone) {
        return new Blame(crashes + 1, solo + (alone ? 1 : 0));
    }

    /** Without those: never below none. */
    public Blame minus(Blame other) {
        return new Blame(Math.max(0, crashes - other.crashes), Math.max(0, solo - other.solo));
    }

    /** Whether its next attempt runs alone. */
    public boolean suspect() {
        return crashes > 0;
    }

    /** Whether it has used up its attempts. */
    public boolean poison(int soloMax, int crashesMax) {
        return solo >= soloMax || crashes >= crashesMax;
    }
}
