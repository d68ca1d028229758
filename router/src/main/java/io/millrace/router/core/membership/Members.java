package io.millrace.router.core.membership;

import io.millrace.shared.proto.MemberBeat;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/** Routers and gateways by their beats in {@code members}. Not thread-safe. */
public final class Members {

    /** A node that has beaten. */
    public static final class Member {
        private MemberBeat beat;
        private long lastMs;
        private long previousLastMs;
        private boolean suspected;

        Member(MemberBeat beat, long timestampMs) {
            this.beat = beat;
            this.lastMs = timestampMs;
        }

        public MemberBeat beat() {
            return beat;
        }

        /** Time of append of its last beat. */
        public long lastMs() {
            return lastMs;
        }
    }

    /** A gateway whose clients are gone: it left, is silent, or is another process now. */
    public record GatewayGone(String node, long connectionsBeforeMs) {}

    private final String node;
    private final long incarnation;
    private final LogProgress progress;
    private final Map<String, Member> members = new TreeMap<>();
    private final Map<String, Set<Long>> retired = new HashMap<>();

    public Members(String node, long incarnation, LogProgress progress) {
        this.node = node;
        this.incarnation = incarnation;
        this.progress = progress;
    }

    /**
     * Applies a beat.
     *
     * @return the gateway of that name that is gone now, because another process has its place or it leaves; or null
     */
    public @Nullable GatewayGone apply(MemberBeat beat, long timestampMs) {
        if (beat.getNode().equals(node)) {
            if (beat.getIncarnation() == incarnation) {
                progress.own(timestampMs);
            }
            return null;
        }
        Member member = members.get(beat.getNode());
        if (member == null) {
            members.put(beat.getNode(), new Member(beat, timestampMs));
            return null;
        }
        long before = member.beat.getIncarnation();
        if (retired(beat.getNode()).contains(beat.getIncarnation())) {
            return null;
        }
        boolean replaced = before != beat.getIncarnation();
        boolean leaves = beat.getLeaving() && !member.beat.getLeaving();
        if (replaced) {
            retired(beat.getNode()).add(before);
            member.previousLastMs = member.lastMs;
        }
        member.beat = beat;
        member.lastMs = timestampMs;
        member.suspected = false;
        if (beat.getRole() != MemberBeat.Role.GATEWAY) {
            return null;
        }
        if (leaves) {
            return new GatewayGone(beat.getNode(), timestampMs);
        }
        return replaced ? new GatewayGone(beat.getNode(), member.previousLastMs + 500) : null;
    }

    private Set<Long> retired(String name) {
        return retired.computeIfAbsent(name, n -> new HashSet<>());
    }

    /** Members that became silent since the last call. */
    public Set<Member> newlySilent() {
        Set<Member> silent = new HashSet<>();
        for (Member member : members.values()) {
            if (!member.suspected && progress.silent(member.lastMs)) {
                member.suspected = true;
                silent.add(member);
            }
        }
        return silent;
    }

    /** Whether the beat is of a gateway that was taken for gone because it was silent, and is there after all, the same process. */
    public boolean isReturn(MemberBeat beat) {
        Member member = members.get(beat.getNode());
        return member != null
                && member.suspected
                && beat.getRole() == MemberBeat.Role.GATEWAY
                && !beat.getLeaving()
                && member.beat.getIncarnation() == beat.getIncarnation();
    }

    /** Whether a gateway of that name is silent, so that it may come back. */
    public boolean gatewaySilent(String name) {
        Member member = members.get(name);
        return member != null && member.suspected && !member.beat.getLeaving();
    }

    /** Whether a gateway of that name is there now. */
    public boolean gatewayLive(String name) {
        Member member = members.get(name);
        return member != null
                && member.beat.getRole() == MemberBeat.Role.GATEWAY
                && !member.suspected
                && !member.beat.getLeaving();
    }

    /** Whether anything was ever heard of that node. */
    public boolean known(String name) {
        return members.containsKey(name);
    }

    /** Routers that share the partitions, this one among them unless it leaves. */
    public Set<String> routers(boolean leaving) {
        Set<String> routers = new HashSet<>();
        for (Member member : members.values()) {
            if (member.beat.getRole() == MemberBeat.Role.ROUTER && !member.suspected && !member.beat.getLeaving()) {
                routers.add(member.beat.getNode());
            }
        }
        if (!leaving) {
            routers.add(node);
        }
        return routers;
    }

    public LogProgress progress() {
        return progress;
    }

    /** Forgets nodes that have been silent for that long. */
    public void forgetSilentFor(long ms) {
        members.values().removeIf(member -> member.suspected && progress.ownMs() - member.lastMs > ms);
    }
}
