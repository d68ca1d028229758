package io.millrace.router.core.membership;

import com.google.protobuf.ByteString;
import io.millrace.shared.proto.RunningAttempt;
import io.millrace.shared.proto.ServedModel;
import io.millrace.shared.proto.WorkerBeat;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** A worker process as its beats describe it, and what this router has sent it since. Not thread-safe. */
public final class Worker {

    /** Something this router has sent, or is about to send, to a worker. */
    public interface Load {

        String model();

        /** Offset of the assignment in the worker's slot; -1 while it is not known. */
        long slotOffset();

        /** Prompt tokens it brings. */
        long promptTokens();

        /** Those of them that the worker is thought to have cached. */
        long cachedTokens();

        /** Hashes of its text prefixes, which its worker has cached while it runs; shortest first. */
        List<Long> prefixHashes();

        boolean solo();
    }

    private record Key(int partition, long req) {}

    private final String id;
    private WorkerBeat beat;
    private long lastMs;
    private long firstMs;
    private boolean suspected;
    private boolean expected;
    private String cause = "";
    private long lostMs = Long.MIN_VALUE;
    private final Set<Long> retired = new HashSet<>();
    private final Map<Key, RunningAttempt> listed = new HashMap<>();
    private final Set<ByteString> aids = new HashSet<>();
    private final Map<ByteString, Boolean> early = new HashMap<>();
    private double learnedStepS;
    private double learnedPrefillTokensPerS;
    private final Bookings sent = new Bookings();
    private final Map<String, ServedModel> models = new HashMap<>();
    private final Watcher watcher;

    Worker(WorkerBeat beat, long timestampMs, Watcher watcher) {
        this.id = beat.getWorker();
        this.beat = beat;
        this.watcher = watcher;
        this.firstMs = timestampMs;
        take(beat, timestampMs);
    }

    /** Applies a beat; false when it is of a process that another has replaced. */
    boolean apply(WorkerBeat next, long timestampMs) {
        if (retired.contains(next.getIncarnation())) {
            return false;
        }
        if (next.getIncarnation() != beat.getIncarnation()) {
            retired.add(beat.getIncarnation());
            firstMs = timestampMs;
            lostMs = Long.MIN_VALUE;
            sent.all().forEach(this::over);
        }
        take(next, timestampMs);
        return true;
    }

    private void take(WorkerBeat next, long timestampMs) {
        beat = next;
        lastMs = timestampMs;
        listed.clear();
        aids.clear();
        early.clear();
        models.clear();
        for (ServedModel model : next.getModelsList()) {
            models.putIfAbsent(model.getName(), model);
            model.getAliasesList().forEach(alias -> models.putIfAbsent(alias, model));
        }
        sent.read(next.getAssignmentsPosition());
        for (RunningAttempt attempt : next.getAttemptsList()) {
            listed.put(new Key(attempt.getPartition(), attempt.getReq()), attempt);
            if (!attempt.getAid().isEmpty()) {
                aids.add(attempt.getAid());
                early.put(attempt.getAid(), attempt.getEarly());
            }
        }
        watcher.changed(this);
    }

    public String id() {
        return id;
    }

    public long incarnation() {
        return beat.getIncarnation();
    }

    /** Whether another process has taken that one's place. */
    public boolean retired(long incarnation) {
        return retired.contains(incarnation);
    }

    public int slot() {
        return beat.getSlot();
    }

    public WorkerBeat beat() {
        return beat;
    }

    /** Time of append of its last beat. */
    public long lastMs() {
        return lastMs;
    }

    /** Time of append of the first beat of this incarnation. */
    public long firstMs() {
        return firstMs;
    }

    public boolean draining() {
        return beat.getDraining();
    }

    /** It drains, but runs what no other worker has the weights for. */
    public boolean finishing() {
        return beat.getDraining() && beat.getFinishing();
    }

    /** What it serves under that name or alias. */
    public @Nullable ServedModel model(String name) {
        return models.get(name);
    }

    /** Names and aliases under which it serves. */
    public Set<String> names() {
        return Collections.unmodifiableSet(models.keySet());
    }

    /** Whether its last beat lists that execution. */
    public boolean lists(ByteString aid) {
        return aids.contains(aid);
    }

    /** Whether its last beat lists that request, claimed or not. */
    public boolean lists(int partition, long req) {
        return listed.containsKey(new Key(partition, req));
    }

    /** Whether its last beat lists that request as claimed. */
    public boolean claims(int partition, long req) {
        RunningAttempt attempt = listed.get(new Key(partition, req));
        return attempt != null && !attempt.getAid().isEmpty();
    }

    /** What its last beat lists. */
    public List<RunningAttempt> attempts() {
        return beat.getAttemptsList();
    }

    /** Whether the execution was in its first prefill or first steps when last heard of; true when it was not listed. */
    public boolean early(ByteString aid) {
        return early.getOrDefault(aid, true);
    }

    /** Its last beat said that it goes, and that it holds nothing any more. */
    public boolean left() {
        return beat.getLeaving();
    }

    /** The process is gone, as its connection says; only a beat appended clearly later takes that back. */
    void lost(long logMs) {
        lostMs = logMs;
    }

    public boolean suspected() {
        return suspected;
    }

    /** Judges anew; true when the verdict changed. */
    boolean judge(LogProgress progress, long graceMs) {
        boolean broken = lastMs < lostMs + graceMs && lostMs != Long.MIN_VALUE;
        boolean now = left() || broken || progress.silent(lastMs);
        boolean changed = now != suspected;
        suspected = now;
        if (changed) {
            watcher.changed(this);
        }
        if (changed && now) {
            expected = left() || progress.before(lastMs);
            cause = left() ? "it left" : broken ? "its connection broke" : "its heartbeats stay away";
        }
        return changed;
    }

    /** Why it was suspected last, for a person. */
    public String cause() {
        return cause;
    }

    /** Whether the last suspicion was no news: it said that it leaves, or was gone before this router came. */
    public boolean expected() {
        return expected;
    }

    /** So many tokens of one choice took that long, by the journal's own timestamps. */
    public void learnStep(double seconds, int tokens) {
        double each = seconds / Math.max(1, tokens);
        learnedStepS = learnedStepS == 0 ? each : learnedStepS + 0.05 * (each - learnedStepS);
        watcher.changed(this);
    }

    /** So many prompt tokens were computed between claim and first token, by the journal's own timestamps. */
    public void learnPrefill(double seconds, int tokens) {
        double rate = tokens / Math.max(1e-3, seconds);
        learnedPrefillTokensPerS = learnedPrefillTokensPerS == 0
                ? rate
                : learnedPrefillTokensPerS + 0.1 * (rate - learnedPrefillTokensPerS);
        watcher.changed(this);
    }

    /** Seconds a decoding step takes: as it says itself, else as its journals show; 0 when neither is known. */
    public double stepS(ServedModel model) {
        return model.getDecodeStepS() > 0 ? model.getDecodeStepS() : learnedStepS;
    }

    /** Prompt tokens per second: as it says itself, else as its journals show; 0 when neither is known. */
    public double prefillTokensPerS(ServedModel model) {
        return model.getPrefillTokensPerS() > 0 ? model.getPrefillTokensPerS() : learnedPrefillTokensPerS;
    }

    public void sent(Load load) {
        if (sent.add(load)) {
            watcher.sent(this, load);
        }
    }

    public void over(Load load) {
        if (sent.remove(load)) {
            watcher.over(this, load);
        }
    }

    /** Requests of that model it holds, as far as is known here. */
    public int load(ServedModel model) {
        int flying = sent.inFlight(model.getName(), beat.getAssignmentsPosition());
        return Math.max(sent.count(model.getName()), model.getRunning() + model.getWaiting() + flying);
    }

    /** Prompt tokens on their way to it. */
    public long promptTokensInFlight(ServedModel model) {
        return sent.promptTokensInFlight(model.getName(), beat.getAssignmentsPosition());
    }

    /** Whether something runs alone there. */
    public boolean hasSolo() {
        return sent.hasSolo();
    }
}
