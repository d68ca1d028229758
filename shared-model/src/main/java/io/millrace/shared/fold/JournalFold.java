package io.millrace.shared.fold;

import com.google.protobuf.ByteString;
import io.millrace.shared.fold.Verdict.Reason;
import io.millrace.shared.proto.Admit;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.End;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Output;
import io.millrace.shared.proto.Tokens;
import io.millrace.shared.proto.Usage;
import io.millrace.shared.proto.Yield;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * State of one request's journal: a deterministic fold over its records in log order. Every reader runs this one, so all of
 * them agree on attempts, tokens and the end, whoever else writes. The rules stand in {@code docs/protocol.md}.
 *
 * <p>No I/O, no clock. Not thread-safe.
 */
public final class JournalFold {

    /** Version of these rules, as written into ADMIT. */
    public static final int VERSION = 1;

    /** Most choices of one request. */
    public static final int CHOICES_MAX = 1024;

    /** Bytes of an aid. */
    public static final int AID_BYTES = 16;

    /** What is kept of the accepted output beside its counts. */
    public enum Keep {
        COUNTS,
        IDS,
        IDS_AND_TEXT
    }

    private final String id;
    private final long req;
    private final Keep keep;
    private final FoldRules rules;

    private Choice[] choices = new Choice[0];
    private @Nullable Admit admit;
    private @Nullable JournalRecord terminal;
    private int current;
    private @Nullable Attempt attempt;
    private final Set<ByteString> aids = new HashSet<>();
    private final Map<Integer, Integer> outputParts = new HashMap<>();
    private final Set<Integer> outputEnded = new HashSet<>();
    private String numericsId = "";
    private boolean inexact;
    private long promptHash;
    private int promptLength;
    private int cachedTokens;
    private long beginOffset = -1;
    private long beginMs = -1;
    private long firstTokenOffset = -1;
    private long firstTokenMs = -1;
    private long endOffset = -1;
    private long endMs = -1;
    private long lastOffset = -1;

    /**
     * @param id the request's id
     * @param req offset of the request's first record in its partition of {@code requests}
     */
    public JournalFold(String id, long req, Keep keep) {
        this(id, req, keep, FoldRules.PROTOCOL);
    }

    JournalFold(String id, long req, Keep keep, FoldRules rules) {
        this.id = id;
        this.req = req;
        this.keep = keep;
        this.rules = rules;
    }

    /**
     * Applies the next record of the partition that carries this journal's key.
     *
     * @param offset its offset in {@code responses}, above every earlier one
     * @param timestampMs the broker's time of append, milliseconds since the epoch
     */
    public Verdict apply(long offset, long timestampMs, JournalRecord record) {
        if (offset <= lastOffset) {
            return Verdict.ignored(Reason.DUPLICATE);
        }
        lastOffset = offset;
        if (!id.equals(record.getId()) || (rules.checkReq() && record.getReq() != req)) {
            return Verdict.ignored(Reason.WRONG_REQ);
        }
        Verdict verdict = fold(offset, timestampMs, record);
        if (verdict.isAccepted() && terminal == record) {
            endOffset = offset;
            endMs = timestampMs;
        }
        return verdict;
    }

    private Verdict fold(long offset, long timestampMs, JournalRecord record) {
        JournalRecord.RecordCase kind = record.getRecordCase();
        if (kind == JournalRecord.RecordCase.ADMIT || kind == JournalRecord.RecordCase.REJECT) {
            return begin(offset, timestampMs, record);
        }
        if (kind == JournalRecord.RecordCase.DUP || kind == JournalRecord.RecordCase.RECORD_NOT_SET) {
            return Verdict.ignored(Reason.NOT_FOLDED);
        }
        if (!begun() && (rules.admitFirst() || kind != JournalRecord.RecordCase.CLAIM)) {
            return Verdict.ignored(Reason.NO_ADMIT);
        }
        if (terminal != null) {
            return Verdict.ignored(Reason.TERMINAL);
        }
        return switch (kind) {
            case CLAIM -> claim(offset, timestampMs, record.getClaim());
            case TOKENS -> tokens(offset, timestampMs, record.getTokens());
            case OUTPUT -> output(timestampMs, record.getOutput());
            case END -> end(record, record.getEnd());
            case REFUSE -> terminalFence(record, record.getRefuse().getAttempt());
            case FAIL -> fail(record, record.getFail());
            case YIELD -> yielded(record.getYield());
            case CANCEL -> terminalFence(record, record.getCancel().getAttempt());
            case ADMIT, REJECT, DUP, RECORD_NOT_SET -> throw new IllegalStateException("handled above");
        };
    }

    private Verdict begin(long offset, long timestampMs, JournalRecord record) {
        if (begun()) {
            return Verdict.ignored(Reason.DUPLICATE);
        }
        beginOffset = offset;
        beginMs = timestampMs;
        if (record.hasReject()) {
            terminal = record;
            return Verdict.accepted();
        }
        Admit begin = record.getAdmit();
        admit = begin;
        choices = new Choice[Math.clamp(begin.getN(), 1, CHOICES_MAX)];
        for (int i = 0; i < choices.length; i++) {
            choices[i] = new Choice(keep);
        }
        return Verdict.accepted();
    }

    private Verdict claim(long offset, long timestampMs, Claim claim) {
        if (claim.getAid().size() != AID_BYTES) {
            return Verdict.ignored(Reason.MALFORMED);
        }
        if (claim.getAttempt() != current + 1) {
            return Verdict.ignored(Reason.LATE_ATTEMPT);
        }
        if (begun() && claim.getWeightsHash() != admit().getWeightsHash()) {
            return Verdict.ignored(Reason.WEIGHTS);
        }
        if (!aids.add(claim.getAid())) {
            return Verdict.ignored(Reason.AID_REUSED);
        }
        current = claim.getAttempt();
        attempt = new Attempt(claim, offset, timestampMs);
        if (!claim.getNumericsId().isEmpty()) {
            boolean output = acceptedTotal() > 0 || !outputParts.isEmpty();
            inexact |= output && !claim.getNumericsId().equals(numericsId);
            numericsId = claim.getNumericsId();
        }
        if (claim.getPromptLength() > 0) {
            promptLength = claim.getPromptLength();
            promptHash = claim.getPromptHash();
            cachedTokens = Math.max(cachedTokens, claim.getCachedTokens());
        }
        return Verdict.accepted();
    }

    private Verdict tokens(long offset, long timestampMs, Tokens tokens) {
        Reason wrong = wrongExecution(tokens.getAid());
        if (wrong == null) {
            wrong = wrongChoice(tokens.getChoice());
        }
        if (wrong == null && tokens.getIdsCount() == 0) {
            wrong = Reason.MALFORMED;
        }
        if (wrong != null) {
            return Verdict.ignored(wrong);
        }
        Choice choice = choices[tokens.getChoice()];
        if (tokens.getStart() != choice.accepted()) {
            return tokens.getStart() < choice.accepted() ? Verdict.ignored(Reason.DUPLICATE) : gap();
        }
        choice.accept(tokens);
        Attempt writer = current();
        writer.tokens += tokens.getIdsCount();
        writer.lastOutputMs = timestampMs;
        markFirst(offset, timestampMs);
        return Verdict.accepted();
    }

    private Verdict output(long timestampMs, Output output) {
        Reason wrong = wrongExecution(output.getAid());
        if (wrong == null && output.getIndex() < 0) {
            wrong = Reason.NO_SUCH_CHOICE;
        }
        if (wrong == null && outputEnded.contains(output.getIndex())) {
            wrong = Reason.CHOICE_ENDED;
        }
        if (wrong != null) {
            return Verdict.ignored(wrong);
        }
        int next = outputParts.getOrDefault(output.getIndex(), 0);
        if (output.getPart() != next) {
            return output.getPart() < next ? Verdict.ignored(Reason.DUPLICATE) : gap();
        }
        outputParts.put(output.getIndex(), next + 1);
        if (output.getLast()) {
            outputEnded.add(output.getIndex());
        }
        current().lastOutputMs = timestampMs;
        return Verdict.accepted();
    }

    private Verdict end(JournalRecord record, End end) {
        Reason wrong = wrongExecution(end.getAid());
        if (wrong == null) {
            wrong = wrongChoice(end.getChoice());
        }
        if (wrong != null) {
            return Verdict.ignored(wrong);
        }
        Choice choice = choices[end.getChoice()];
        if (end.getN() != choice.accepted()) {
            return end.getN() < choice.accepted() ? Verdict.ignored(Reason.COUNT) : gap();
        }
        choice.accept(end);
        inexact |= end.getInexact();
        boolean all = true;
        for (Choice each : choices) {
            all &= each.end() != null;
        }
        if (all) {
            terminal = record;
        }
        return Verdict.accepted();
    }

    private Verdict fail(JournalRecord record, Fail fail) {
        if (fail.getAid().isEmpty()) {
            return terminalFence(record, fail.getAttempt());
        }
        Reason wrong = wrongExecution(fail.getAid());
        if (wrong != null) {
            return Verdict.ignored(wrong);
        }
        if (fail.getN() != acceptedTotal()) {
            return fail.getN() < acceptedTotal() ? Verdict.ignored(Reason.COUNT) : gap();
        }
        terminal = record;
        return Verdict.accepted();
    }

    private Verdict yielded(Yield yield) {
        Attempt over = attempt;
        if (over == null || !over.aid().equals(yield.getAid())) {
            return Verdict.ignored(Reason.STALE_AID);
        }
        if (over.yielded) {
            return Verdict.ignored(Reason.YIELDED);
        }
        over.yielded = true;
        over.yieldCause = yield.getCause();
        return Verdict.accepted();
    }

    private Verdict terminalFence(JournalRecord record, int number) {
        if (number != current + 1) {
            return Verdict.ignored(Reason.LATE_ATTEMPT);
        }
        terminal = record;
        return Verdict.accepted();
    }

    private Verdict gap() {
        current().dead = true;
        return Verdict.ignored(Reason.GAP);
    }

    private void markFirst(long offset, long timestampMs) {
        if (firstTokenOffset < 0) {
            firstTokenOffset = offset;
            firstTokenMs = timestampMs;
        }
    }

    /** Why the execution may not write now; null when it may. */
    private @Nullable Reason wrongExecution(ByteString aid) {
        Attempt now = attempt;
        if (now == null || (rules.checkAid() && !now.aid().equals(aid))) {
            return Reason.STALE_AID;
        }
        if (!rules.checkAid()) {
            return null;
        }
        if (now.dead) {
            return Reason.DEAD_ATTEMPT;
        }
        return now.yielded ? Reason.YIELDED : null;
    }

    private @Nullable Reason wrongChoice(int choice) {
        if (choice < 0 || choice >= choices.length) {
            return Reason.NO_SUCH_CHOICE;
        }
        return choices[choice].end() != null ? Reason.CHOICE_ENDED : null;
    }

    private Attempt current() {
        Attempt now = attempt;
        if (now == null) {
            throw new IllegalStateException("no attempt");
        }
        return now;
    }

    /** Drops the accepted ids and texts; what is left is what a fold with {@link Keep#COUNTS} has. */
    void reduce() {
        for (Choice choice : choices) {
            choice.reduce();
        }
        aids.clear();
    }

    public String id() {
        return id;
    }

    /** The request's identity: offset of its first record in {@code requests}. */
    public long req() {
        return req;
    }

    /** Whether ADMIT or REJECT has been folded. */
    public boolean begun() {
        return beginOffset >= 0;
    }

    public boolean admitted() {
        return admit != null;
    }

    /** ADMIT; throws IllegalStateException unless {@link #admitted()}. */
    public Admit admit() {
        Admit begin = admit;
        if (begin == null) {
            throw new IllegalStateException("request " + id + " is not admitted");
        }
        return begin;
    }

    public boolean rejected() {
        JournalRecord last = terminal;
        return last != null && last.hasReject();
    }

    public boolean terminal() {
        return terminal != null;
    }

    /** The record that ended the request: REJECT, the last END, REFUSE, FAIL or CANCEL. */
    public @Nullable JournalRecord terminalRecord() {
        return terminal;
    }

    /** Number of the current attempt; 0 before the first claim. The next claim or fence must carry one more. */
    public int attempt() {
        return current;
    }

    /** Claim of the current attempt. */
    public @Nullable Claim claim() {
        Attempt now = attempt;
        return now == null ? null : now.claim;
    }

    /** Aid of the current attempt; empty before the first claim. */
    public ByteString aid() {
        Attempt now = attempt;
        return now == null ? ByteString.EMPTY : now.aid();
    }

    /** Offset of the current attempt's claim; -1 before the first. */
    public long claimOffset() {
        Attempt now = attempt;
        return now == null ? -1 : now.offset;
    }

    public long claimMs() {
        Attempt now = attempt;
        return now == null ? -1 : now.timestampMs;
    }

    /** A gap has killed the current attempt: nothing it writes counts any more. */
    public boolean dead() {
        Attempt now = attempt;
        return now != null && now.dead;
    }

    /** The current attempt was given back. */
    public boolean yielded() {
        Attempt now = attempt;
        return now != null && now.yielded;
    }

    /** Cause of the YIELD of the current attempt, or empty. */
    public String yieldCause() {
        Attempt now = attempt;
        return now == null ? "" : now.yieldCause;
    }

    /** Whether the current attempt may still write. */
    public boolean running() {
        Attempt now = attempt;
        return now != null && terminal == null && !now.dead && !now.yielded;
    }

    /** Tokens accepted from the current attempt. */
    public int attemptTokens() {
        Attempt now = attempt;
        return now == null ? 0 : now.tokens;
    }

    /** Time of the current attempt's last accepted output; 0 when there was none. */
    public long lastOutputMs() {
        Attempt now = attempt;
        return now == null ? 0 : now.lastOutputMs;
    }

    /** Number of choices; 0 before ADMIT. */
    public int choices() {
        return choices.length;
    }

    /** Accepted tokens of the choice. */
    public int accepted(int choice) {
        return choices[choice].accepted();
    }

    /** Accepted tokens of all choices. */
    public int acceptedTotal() {
        int sum = 0;
        for (Choice choice : choices) {
            sum += choice.accepted();
        }
        return sum;
    }

    /** A copy of the accepted ids of the choice; throws IllegalStateException when this fold keeps none. */
    public int[] ids(int choice) {
        return choices[choice].ids();
    }

    /** Accepted text of the choice; throws IllegalStateException when this fold keeps none. */
    public String text(int choice) {
        return choices[choice].text();
    }

    public boolean ended(int choice) {
        return choices[choice].end() != null;
    }

    /** END of the choice. */
    public @Nullable End end(int choice) {
        return choices[choice].end();
    }

    /** Parts accepted of that output. */
    public int outputParts(int index) {
        return outputParts.getOrDefault(index, 0);
    }

    /** Indexes of the outputs that are complete, ascending. */
    public List<Integer> outputsEnded() {
        return outputEnded.stream().sorted().toList();
    }

    public boolean outputEnded(int index) {
        return outputEnded.contains(index);
    }

    /** Tokens as delivered: the prompt's length as claimed, the accepted counts, and what END adds. */
    public Usage usage() {
        int reasoning = 0;
        int prompt = promptLength;
        int cached = cachedTokens;
        for (Choice choice : choices) {
            End end = choice.end();
            if (end != null) {
                reasoning += end.getUsage().getReasoningTokens();
                prompt = Math.max(prompt, end.getUsage().getPromptTokens());
                cached = Math.max(cached, end.getUsage().getCachedTokens());
            }
        }
        return Usage.newBuilder()
                .setPromptTokens(prompt)
                .setCompletionTokens(acceptedTotal())
                .setCachedTokens(cached)
                .setReasoningTokens(reasoning)
                .build();
    }

    /** Executions of different numerics took part in the accepted output. */
    public boolean inexact() {
        return inexact;
    }

    /** Numerics of the last claim that named one; or empty. */
    public String numericsId() {
        return numericsId;
    }

    /** Prompt tokens, as the last claim that knew them says; 0 before. */
    public int promptLength() {
        return promptLength;
    }

    /** Hash of the prompt's ids, see {@link io.millrace.shared.id.PromptHash}; 0 before it is known. */
    public long promptHash() {
        return promptHash;
    }

    /** Offset of ADMIT or REJECT; -1 before. */
    public long beginOffset() {
        return beginOffset;
    }

    /** Time of ADMIT or REJECT; -1 before. */
    public long beginMs() {
        return beginMs;
    }

    public long firstTokenOffset() {
        return firstTokenOffset;
    }

    public long firstTokenMs() {
        return firstTokenMs;
    }

    /** Offset of the terminal record; -1 before. */
    public long endOffset() {
        return endOffset;
    }

    public long endMs() {
        return endMs;
    }
}
