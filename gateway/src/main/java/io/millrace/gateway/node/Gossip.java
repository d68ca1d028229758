package io.millrace.gateway.node;

import io.millrace.shared.proto.AccountUse;
import io.millrace.shared.proto.MemberBeat;
import java.util.List;
import java.util.Set;

/** A part of this gateway that agrees with those of the other gateways by the beats of all. Thread-safe. */
public interface Gossip {

    /** Has nothing to tell. */
    Gossip NONE = new Gossip() {
        @Override
        public long incarnation() {
            return 1;
        }

        @Override
        public Told tell() {
            return new Told(List.of(), 0);
        }

        @Override
        public void heard(MemberBeat beat, Set<String> gateways) {}
    };

    /**
     * What a beat says.
     *
     * @param begun counters that this process has begun
     */
    record Told(List<AccountUse> accounts, long begun) {}

    /** Random number of this process, which its beats carry. */
    long incarnation();

    /** What the next beat shall say. */
    Told tell();

    /** A beat was read, of this gateway or another member; {@code gateways} are those that live now. */
    void heard(MemberBeat beat, Set<String> gateways);
}
