package io.millrace.worker.journal;

import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingPair;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.worker.engine.GenerationListener;
import io.millrace.worker.engine.PoolingListener;
import io.millrace.worker.sampling.SampledToken;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Runs a few tokens through a model before it is offered, so that the first client does not pay for lazy set-up. Stateless. */
final class WarmUp {

    private static final Logger LOG = LoggerFactory.getLogger(WarmUp.class);
    private static final Duration PATIENCE = Duration.ofMinutes(5);
    private static final int PROMPT_TOKENS = 16;

    private WarmUp() {}

    /** Blocks until it is done; throws MR-WRK-005 when the model cannot do it. */
    static void run(HostedModel model, Clock clock) throws InterruptedException {
        var prompt = TokenIds.newBuilder();
        for (int i = 0; i < PROMPT_TOKENS; i++) {
            prompt.addIds(i);
        }
        Submit.Builder submit = Submit.newBuilder()
                .setModel(model.name())
                .setCreatedMs(clock.wallMs())
                .setDeadlineMs(clock.wallMs() + PATIENCE.toMillis())
                .setCacheSalt("warm-up")
                .setN(1);
        boolean generates = model.tasks().contains(Submit.Task.GENERATE);
        if (generates) {
            submit.setPromptIds(prompt)
                    .setSampling(Sampling.newBuilder()
                            .setTemperature(0)
                            .setMaxTokens(3)
                            .setIgnoreEos(true));
        } else {
            PoolingText text = PoolingText.newBuilder().setIds(prompt).build();
            submit.setTask(Submit.Task.SCORE)
                    .setPooling(PoolingInput.newBuilder()
                            .addInputs(text)
                            .addInputs(text)
                            .addPairs(PoolingPair.newBuilder().setSecond(1)));
        }
        long start = clock.nanos();
        switch (model.prepare("warm-up", submit.build(), List.of(new int[0]), new boolean[1], false)) {
            case Preparation.Refused refused -> LOG.info("no warm-up of {}: {}", model.name(), refused.message());
            case Preparation.Answered answered -> LOG.info("{} answers without its engine", model.name());
            case Preparation.Ready ready -> {
                var done = new CompletableFuture<Void>();
                model.engine().submit(ready.request(), new Listener(done));
                await(model, done);
                LOG.info("{} is warm after {} ms", model.name(), (clock.nanos() - start) / 1_000_000);
            }
            case Preparation.Pooled pooled -> {
                var done = new CompletableFuture<Void>();
                model.engine().pool(pooled.request(), new Listener(done));
                await(model, done);
                LOG.info("{} is warm after {} ms", model.name(), (clock.nanos() - start) / 1_000_000);
            }
        }
    }

    private static void await(HostedModel model, CompletableFuture<Void> done) throws InterruptedException {
        try {
            done.get(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException | TimeoutException e) {
            String why = e.getCause() == null
                    ? "not done within " + PATIENCE.toMinutes() + " min"
                    : String.valueOf(e.getCause().getMessage());
            throw new MillraceException(
                    "MR-WRK-005",
                    "the warm-up of " + model.name() + " failed: " + why + ". The model cannot be served",
                    e);
        }
    }

    private record Listener(CompletableFuture<Void> done) implements GenerationListener, PoolingListener {

        @Override
        public void onTokens(int choice, int start, List<SampledToken> tokens, String text) {}

        @Override
        public void onScheduled(int cachedTokens) {}

        @Override
        public void onCancelled() {}

        @Override
        public void onOutput(int index, float[] values) {}

        @Override
        public void onPooled() {
            done.complete(null);
        }

        @Override
        public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
            done.complete(null);
        }

        @Override
        public void onFailure(String code, String message, boolean retryable) {
            done.completeExceptionally(new MillraceException(code, message));
        }
    }
}
