package io.millrace.worker.serving;

import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.GenerationListener;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.sampling.SampledToken;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

/** The output of choice 0 of an execution. */
final class Collected implements GenerationListener {

    private final List<Integer> ids = new ArrayList<>();
    private final StringBuilder text = new StringBuilder();
    private final CompletableFuture<String> reason = new CompletableFuture<>();

    record Output(List<Integer> ids, String text, String finishReason) {}

    /** Prepares and runs a request; fails the test when it is refused or not over within a minute. */
    static Output run(ServedModel model, String key, Submit submit) {
        Preparation prepared = model.prepare(key, submit, List.of(new int[0]), new boolean[1], false);
        if (!(prepared instanceof Preparation.Ready ready)) {
            throw new AssertionError(prepared.toString());
        }
        Collected collected = new Collected();
        model.engine().submit(ready.request(), collected);
        return collected.await();
    }

    private Output await() {
        try {
            String why = reason.get(60, TimeUnit.SECONDS);
            return new Output(List.copyOf(ids), text.toString(), why);
        } catch (Exception e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void onTokens(int choice, int start, List<SampledToken> tokens, String more) {
        tokens.forEach(t -> ids.add(t.id()));
        text.append(more);
    }

    @Override
    public void onEnd(int choice, int n, String finishReason, String stopReason, String more) {
        text.append(more);
        reason.complete(finishReason);
    }

    @Override
    public void onFailure(String code, String message, boolean retryable) {
        reason.completeExceptionally(new AssertionError(code + " " + message));
    }
}
