package io.millrace.worker.engine;

import io.millrace.worker.sampling.SampledToken;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.IntConsumer;
import org.jspecify.annotations.Nullable;

/** Keeps what a listener hears, and objects to what it must not hear. */
final class Recorder implements GenerationListener {

    record Ended(int n, String finishReason, String stopReason) {}

    private final GenerationRequest request;
    private final IntConsumer onTokens;
    private final List<List<SampledToken>> tokens = new ArrayList<>();
    private final List<StringBuilder> texts = new ArrayList<>();
    private final List<List<String>> pieces = new ArrayList<>();
    private final @Nullable Ended[] ended;
    private final List<String> complaints = new ArrayList<>();
    private final CountDownLatch over = new CountDownLatch(1);
    private final CountDownLatch firstToken = new CountDownLatch(1);
    private @Nullable List<SampledToken> promptLogprobs;
    private @Nullable String failure;
    private boolean retryable;
    private boolean cancelled;
    private long overNanos;
    private int cachedTokens = -1;

    Recorder(GenerationRequest request) {
        this(request, start -> {});
    }

    /** @param onTokens is called with the place of each event's first token, before it is taken down; what it throws is a complaint */
    Recorder(GenerationRequest request, IntConsumer onTokens) {
        this.request = request;
        this.onTokens = onTokens;
        this.ended = new Ended[request.n()];
        for (int c = 0; c < request.n(); c++) {
            tokens.add(new ArrayList<>());
            texts.add(new StringBuilder());
            pieces.add(new ArrayList<>());
            if (request.ended()[c]) {
                ended[c] = new Ended(request.accepted().get(c).length, "earlier", "");
            }
        }
    }

    @Override
    public synchronized void onScheduled(int cached) {
        complainIf(cachedTokens >= 0 || isOver(), "scheduled twice");
        cachedTokens = cached;
    }

    GenerationRequest request() {
        return request;
    }

    @Override
    public synchronized void onTokens(int choice, int start, List<SampledToken> list, String text) {
        try {
            onTokens.accept(start);
        } catch (AssertionError e) {
            complaints.add("token " + start + ": " + e.getMessage());
        }
        complainIf(isOver() || ended[choice] != null, "tokens after the end");
        int expected =
                request.accepted().get(choice).length + tokens.get(choice).size();
        complainIf(start != expected, "start " + start + " instead of " + expected);
        tokens.get(choice).addAll(list);
        texts.get(choice).append(text);
        pieces.get(choice).add(text);
        firstToken.countDown();
    }

    @Override
    public synchronized void onPromptLogprobs(List<SampledToken> list) {
        complainIf(promptLogprobs != null || tokens.stream().anyMatch(t -> !t.isEmpty()), "late prompt logprobs");
        promptLogprobs = list;
    }

    @Override
    public synchronized void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
        complainIf(isOver() || ended[choice] != null, "a second end");
        int expected =
                request.accepted().get(choice).length + tokens.get(choice).size();
        complainIf(n != expected, "n " + n + " instead of " + expected);
        texts.get(choice).append(text);
        ended[choice] = new Ended(n, finishReason, stopReason);
        for (Ended e : ended) {
            if (e == null) {
                return;
            }
        }
        finish();
    }

    @Override
    public synchronized void onFailure(String code, String message, boolean again) {
        complainIf(isOver(), "failure after the end");
        failure = code + " " + message;
        retryable = again;
        finish();
    }

    @Override
    public synchronized void onCancelled() {
        complainIf(isOver(), "cancelled after the end");
        cancelled = true;
        finish();
    }

    private void finish() {
        overNanos = System.nanoTime();
        firstToken.countDown();
        over.countDown();
    }

    /** When the last event came. */
    synchronized long overNanos() {
        return overNanos;
    }

    private void complainIf(boolean wrong, String what) {
        if (wrong) {
            complaints.add(what);
        }
    }

    boolean isOver() {
        return over.getCount() == 0;
    }

    Recorder await() {
        await(over);
        return this;
    }

    /** Until there is a token, or there will be none. */
    void awaitFirstToken() {
        await(firstToken);
    }

    private void await(CountDownLatch latch) {
        try {
            if (!latch.await(60, TimeUnit.SECONDS)) {
                throw new AssertionError(
                        new TimeoutException(request.key() + " is not over: " + ids(0).length + " ids"));
            }
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
        synchronized (this) {
            if (!complaints.isEmpty()) {
                throw new AssertionError(request.key() + ": " + complaints);
            }
        }
    }

    /** Accepted and new ids of a choice. */
    synchronized int[] ids(int choice) {
        int[] accepted = request.accepted().get(choice);
        int[] all = Arrays.copyOf(accepted, accepted.length + tokens.get(choice).size());
        for (int i = accepted.length; i < all.length; i++) {
            all[i] = tokens.get(choice).get(i - accepted.length).id();
        }
        return all;
    }

    synchronized List<SampledToken> tokens(int choice) {
        return List.copyOf(tokens.get(choice));
    }

    synchronized String text(int choice) {
        return texts.get(choice).toString();
    }

    /** The text that came with each token. */
    synchronized List<String> pieces(int choice) {
        return List.copyOf(pieces.get(choice));
    }

    synchronized Ended ended(int choice) {
        Ended e = ended[choice];
        if (e == null) {
            throw new AssertionError(request.key() + "/" + choice + " has not ended; failure: " + failure);
        }
        return e;
    }

    synchronized String failure() {
        return failure == null ? "" : failure;
    }

    synchronized boolean retryable() {
        return retryable;
    }

    synchronized boolean cancelled() {
        return cancelled;
    }

    synchronized int cachedTokens() {
        return cachedTokens;
    }

    synchronized List<SampledToken> promptLogprobs() {
        if (promptLogprobs == null) {
            throw new AssertionError("no prompt logprobs");
        }
        return promptLogprobs;
    }
}
