package io.millrace.shared.trace;

import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.fold.Verdict;
import io.millrace.shared.proto.Claim;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.Usage;
import io.millrace.shared.trace.RequestHistory.Dispatched;
import io.millrace.shared.trace.RequestHistory.Journalled;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * Tells a request's story: folds its journal as every reader does, and puts what was accepted on one line of time. No I/O, no clock.
 */
final class StoryTeller {

    private static final String SEND = "send: gateway to log";
    private static final String ADMISSION = "admission: router reads it, journal has ADMIT";
    private static final String QUEUE = "router queue";
    private static final String PREPARE = "worker queue, template, tokens, claim";
    private static final String PREFILL = "engine queue and prefill";
    private static final String DECODE = "decode";
    private static final String END = "end";
    private static final String LOST = "lost attempt, until its fence";

    private final RequestHistory history;
    private final JournalFold fold;
    private final List<AttemptStory> attempts = new ArrayList<>();
    private final Map<String, Integer> ignored = new TreeMap<>();
    private final Map<String, Long> shares = new LinkedHashMap<>();
    private final Map<Integer, String> yields = new TreeMap<>();
    private long cursorMs;

    private StoryTeller(RequestHistory history) {
        this.history = history;
        this.fold = new JournalFold(history.id(), history.req(), JournalFold.Keep.COUNTS);
        this.cursorMs = history.submit().getCreatedMs();
    }

    static Story tell(RequestHistory history) {
        StoryTeller teller = new StoryTeller(history);
        history.journal().forEach(teller::read);
        Node root = teller.tree();
        return new Story(teller.heading(), root, teller.shares, teller.leftOut());
    }

    private void read(Journalled each) {
        JournalRecord record = each.record();
        Verdict verdict = fold.apply(each.offset(), each.timestampMs(), record);
        if (verdict instanceof Verdict.Ignored no) {
            ignored.merge(record.getRecordCase() + ": " + no.reason(), 1, Integer::sum);
            return;
        }
        switch (record.getRecordCase()) {
            case CLAIM -> attempts.add(new AttemptStory(record.getClaim(), each.timestampMs(), each.offset()));
            case TOKENS -> attempts.getLast().tokens(record.getTokens(), each.timestampMs());
            case OUTPUT -> attempts.getLast().output(each.timestampMs());
            case YIELD -> yields.put(fold.attempt(), record.getYield().getCause());
            case ADMIT, REJECT, END, REFUSE, FAIL, CANCEL, DUP, RECORD_NOT_SET -> {}
        }
    }

    private List<String> leftOut() {
        return ignored.entrySet().stream()
                .map(each -> each.getValue() + " x " + each.getKey())
                .toList();
    }

    private Node tree() {
        long begin = cursorMs;
        List<Node> children = new ArrayList<>();
        children.add(until(
                SEND,
                history.submittedMs(),
                "requests-" + history.partition() + " offset " + history.req() + ", by "
                        + history.submit().getGateway()));
        if (fold.begun()) {
            children.add(until(
                    ADMISSION, fold.beginMs(), "responses-" + history.partition() + " offset " + fold.beginOffset()));
        }
        for (int i = 0; i < attempts.size(); i++) {
            children.addAll(attempt(attempts.get(i), i + 1 < attempts.size() ? attempts.get(i + 1) : null));
        }
        long end = fold.terminal() ? Math.max(cursorMs, fold.endMs()) : Math.max(cursorMs, history.readMs());
        if (fold.terminal()) {
            children.add(Node.moment(status(), end));
            share(END, end);
        } else {
            children.add(new Node("now: " + status(), cursorMs, end, true, List.of(), List.of()));
            share("now: " + status(), end);
        }
        return new Node(name(history.submit()), begin, end, !fold.terminal(), List.of(), children);
    }

    /** The router's queue before it, then the attempt. */
    private List<Node> attempt(AttemptStory story, @Nullable AttemptStory next) {
        List<Node> nodes = new ArrayList<>();
        Claim claim = story.claim;
        if (claim.getFence()) {
            nodes.add(Node.moment(
                    "fence: attempt " + claim.getAttempt() + " because of " + claim.getCause(),
                    story.claimMs,
                    "offset " + story.claimOffset
                            + (claim.getBlamed() > 0 ? ", crashes so far " + claim.getBlamed() : "")
                            + (claim.getSolo() ? ", runs alone" : "")));
        }
        Dispatched dispatch = dispatchOf(claim);
        if (dispatch != null) {
            nodes.add(until(
                    QUEUE, dispatch.timestampMs(), "assignments-" + dispatch.slot() + " offset " + dispatch.offset()));
        }
        long begin = cursorMs;
        List<Node> phases = new ArrayList<>();
        if (!claim.getFence()) {
            phases.add(until(dispatch == null ? QUEUE + ", " + PREPARE : PREPARE, story.claimMs));
        }
        if (story.produced()) {
            phases.add(until(PREFILL, story.firstMs(), prompt(claim)));
            phases.add(until(DECODE, story.lastMs(), story.notes().toArray(String[]::new)));
        }
        boolean last = next == null;
        if (last && fold.terminal()) {
            phases.add(until(story.produced() ? END : PREFILL, fold.endMs()));
        } else if (next != null) {
            String why = yields.get(claim.getAttempt());
            String name = why == null ? LOST : "given back (" + why + "), until its fence";
            phases.add(until(name, next.claimMs, next.claim.getCause()));
        }
        boolean open = last && !fold.terminal();
        nodes.add(new Node(
                "attempt " + claim.getAttempt() + " on " + claim.getWorker(),
                begin,
                open ? Math.max(cursorMs, history.readMs()) : cursorMs,
                open,
                List.of("slot " + claim.getSlot() + ", numerics " + claim.getNumericsId()),
                phases));
        return nodes;
    }

    private @Nullable Dispatched dispatchOf(Claim claim) {
        return history.dispatches().stream()
                .filter(each -> each.assignment().getDispatch().getAttempt() == claim.getAttempt()
                        && each.assignment().getIncarnation() == claim.getIncarnation())
                .findFirst()
                .orElse(null);
    }

    private static String prompt(Claim claim) {
        return claim.getPromptLength() == 0
                ? "prompt and what earlier attempts made"
                : claim.getPromptLength() + " prompt tokens";
    }

    /** What lasted from the last event to that one. */
    private Node until(String name, long atMs, String... notes) {
        long from = cursorMs;
        share(name, atMs);
        return Node.span(name, from, cursorMs, notes);
    }

    private void share(String name, long atMs) {
        long took = Math.max(0, atMs - cursorMs);
        cursorMs += took;
        if (took > 0 || !name.equals(END)) {
            shares.merge(name, took, Long::sum);
        }
    }

    private List<String> heading() {
        Submit submit = history.submit();
        List<String> lines = new ArrayList<>();
        lines.add("request " + history.id() + "  model " + submit.getModel() + "  tenant " + submit.getTenant());
        lines.add("status  " + status());
        if (fold.admitted()) {
            Usage usage = fold.usage();
            lines.add(String.format(
                    Locale.ROOT,
                    "tokens  %d of the prompt (%d of them cached), %d generated, %d attempt%s",
                    usage.getPromptTokens(),
                    usage.getCachedTokens(),
                    usage.getCompletionTokens(),
                    fold.attempt(),
                    fold.attempt() == 1 ? "" : "s"));
        }
        String[] parent = submit.getTrace().getTraceparent().split("-", -1);
        if (parent.length == 4) {
            lines.add("trace   " + parent[1]);
        }
        if (submit.getShape().getPrompts() > 1) {
            lines.add("it is one of the " + submit.getShape().getPrompts() + " prompts of its call");
        }
        return lines;
    }

    private String status() {
        JournalRecord last = fold.terminalRecord();
        if (last == null) {
            if (!fold.begun()) {
                return "accepted, not admitted yet";
            }
            return attempts.isEmpty() ? "queued" : fold.running() ? "running" : "waits for its next attempt";
        }
        return last.getRecordCase() == RecordCase.END ? "finished: " + finish() : error(last);
    }

    private String finish() {
        List<String> reasons = new ArrayList<>();
        for (int choice = 0; choice < fold.choices(); choice++) {
            var end = fold.end(choice);
            reasons.add(end == null ? "" : end.getFinishReason());
        }
        return String.join(", ", reasons) + (fold.inexact() ? " (attempts of different numerics)" : "");
    }

    private static String error(JournalRecord last) {
        return switch (last.getRecordCase()) {
            case REJECT ->
                "rejected: %d %s"
                        .formatted(
                                last.getReject().getStatus(), last.getReject().getCode());
            case REFUSE ->
                "refused: %d %s"
                        .formatted(
                                last.getRefuse().getStatus(), last.getRefuse().getCode());
            case FAIL ->
                "failed: %d %s"
                        .formatted(last.getFail().getStatus(), last.getFail().getCode());
            case CANCEL -> "cancelled: " + last.getCancel().getCause();
            case ADMIT, CLAIM, TOKENS, OUTPUT, END, YIELD, DUP, RECORD_NOT_SET ->
                throw new IllegalStateException(last.getRecordCase() + " ends nothing");
        };
    }

    private static String name(Submit submit) {
        String api = switch (submit.getShape().getApi()) {
            case CHAT_COMPLETIONS, UNRECOGNIZED -> "chat completion";
            case COMPLETIONS -> "text completion";
            case RESPONSES -> "response";
            case EMBEDDINGS -> "embeddings";
            case RERANK -> "rerank";
            case SCORE -> "score";
            case MESSAGES -> "message";
            case COUNT_TOKENS -> "token count";
            case TOKENIZE -> "tokenize";
            case DETOKENIZE -> "detokenize";
        };
        return api
                + (submit.getShape().getStream() ? ", streamed" : "")
                + (submit.getBackground() ? ", background" : "");
    }
}
