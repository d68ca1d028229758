package io.millrace.bench;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import io.millrace.worker.engine.GenerationListener;
import io.millrace.worker.journal.HostedModel;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.sampling.SampledToken;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/** Calls a model's engine directly, as a worker does, and takes its times. Thread-safe. */
final class EngineCalls {

    private static final long DEADLINE_MS = 60_000;

    private final HostedModel model;

    EngineCalls(HostedModel model) {
        this.model = model;
    }

    /** A greedy answer of so many tokens. */
    StreamTimes run(String prompt, int maxTokens, long seed) {
        return run(
                prompt,
                Sampling.newBuilder()
                        .setTemperature(0)
                        .setMaxTokens(maxTokens)
                        .setIgnoreEos(true)
                        .build(),
                seed);
    }

    StreamTimes run(String prompt, Sampling sampling, long seed) {
        long sent = System.nanoTime();
        long now = System.currentTimeMillis();
        Submit submit = Submit.newBuilder()
                .setTenant("bench")
                .setModel(model.name())
                .setSeed(seed)
                .setCreatedMs(now)
                .setDeadlineMs(now + DEADLINE_MS)
                .setN(1)
                .setChat(ChatInput.newBuilder()
                        .setMessagesJson("[{\"role\":\"user\",\"content\":\"" + prompt + "\"}]")
                        .setAddGenerationPrompt(true))
                .setSampling(sampling)
                .build();
        Preparation prepared =
                model.prepare("bench-" + seed + "-" + sent, submit, List.of(new int[0]), new boolean[1], false);
        return switch (prepared) {
            case Preparation.Refused refused -> StreamTimes.failed(refused.message(), System.nanoTime() - sent);
            case Preparation.Pooled _, Preparation.Answered _ ->
                StreamTimes.failed("the model does not generate", System.nanoTime() - sent);
            case Preparation.Ready ready -> {
                var times = new Times(sent);
                model.engine().submit(ready.request(), times);
                yield times.done.join();
            }
        };
    }

    private static final class Times implements GenerationListener {

        private final long sent;
        private final List<Long> at = new ArrayList<>();
        private final CompletableFuture<StreamTimes> done = new CompletableFuture<>();

        Times(long sent) {
            this.sent = sent;
        }

        @Override
        public void onTokens(int choice, int start, List<SampledToken> tokens, String text) {
            // As a client sees it: a token whose character is not whole yet gives no text.
            if (!text.isEmpty()) {
                at.add(System.nanoTime());
            }
        }

        @Override
        public void onEnd(int choice, int n, String finishReason, String stopReason, String text) {
            long[] gaps = new long[Math.max(0, at.size() - 1)];
            for (int i = 0; i < gaps.length; i++) {
                gaps[i] = at.get(i + 1) - at.get(i);
            }
            done.complete(
                    at.isEmpty()
                            ? StreamTimes.failed("no token", System.nanoTime() - sent)
                            : new StreamTimes(true, "", at.getFirst() - sent, gaps, System.nanoTime() - sent, n));
        }

        @Override
        public void onFailure(String code, String message, boolean retryable) {
            done.complete(StreamTimes.failed(code, System.nanoTime() - sent));
        }

        @Override
        public void onCancelled() {
            done.complete(StreamTimes.failed("cancelled", System.nanoTime() - sent));
        }
    }
}
