package io.millrace.router.core;

import com.google.protobuf.ByteString;
import io.millrace.router.core.membership.Worker;
import java.util.List;

/** Which execution a request is with: a process of a worker, and the attempt that it runs or shall run. */
final class Binding implements Worker.Load {

    /**
     * What is to be computed before the first token.
     *
     * @param cachedTokens those that the worker was thought to have
     * @param prefixHashes text hashes of its chunks
     */
    record Prompt(long tokens, long cachedTokens, List<Long> prefixHashes) {}

    final String worker;
    final long incarnation;
    final int slot;
    final int attempt;
    final String model;
    final Prompt prompt;
    final boolean solo;
    /** Empty while attempt 1 runs on an assignment without a record. */
    ByteString aid;
    /** When it was bound, then when its assignment was acknowledged; see LogProgress.elapsedMs. */
    long sinceMs;
    /** Time of append of its claim; 0 while there is none. */
    long claimedMs;

    /** Time of append of its last accepted tokens; 0 before the first. */
    long tokensMs;

    long slotOffset = -1;
    /** An assignment for it was appended by this router, or is on its way. */
    boolean sent;

    boolean sendFailed;
    /** Its worker claimed in vain, for instance before the journal began. */
    boolean refused;
    /** When its worker began to list a claim that the journal does not have, see LogProgress.elapsedMs; -1 while it does not. */
    long unheardMs = -1;
    /** Its worker has listed it. */
    boolean listed;
    /** Whether it was in its first prefill or steps when last listed. */
    boolean early = true;
    /** When its worker's beats began to leave it out, see LogProgress.elapsedMs; -1 while they do not. */
    long missingMs = -1;
    /** Router's clock at dispatch or adoption. */
    long startedMs;

    Binding(
            String worker,
            long incarnation,
            int slot,
            int attempt,
            ByteString aid,
            String model,
            Prompt prompt,
            boolean solo,
            long sinceMs) {
        this.worker = worker;
        this.incarnation = incarnation;
        this.slot = slot;
        this.attempt = attempt;
        this.aid = aid;
        this.model = model;
        this.prompt = prompt;
        this.solo = solo;
        this.sinceMs = sinceMs;
    }

    @Override
    public String model() {
        return model;
    }

    @Override
    public long slotOffset() {
        return slotOffset;
    }

    @Override
    public long promptTokens() {
        return prompt.tokens;
    }

    @Override
    public long cachedTokens() {
        return prompt.cachedTokens;
    }

    @Override
    public List<Long> prefixHashes() {
        return prompt.prefixHashes;
    }

    @Override
    public boolean solo() {
        return solo;
    }

    /** Whether it is claimed, and listed by its worker as beyond its first steps. */
    boolean steady() {
        return claimed() && listed && !early && missingMs < 0 && !sendFailed;
    }

    /** Whether its worker claimed, or the router did for it. */
    boolean claimed() {
        return !aid.isEmpty();
    }
}
