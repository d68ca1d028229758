package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.worker.backend.mock.MockConfig;
import io.millrace.worker.backend.mock.MockTokens;
import io.millrace.worker.sampling.SamplingParams;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.Random;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** Whatever the pool, the budget and the company: the ids are those of the model, and no block is leaked. */
class RandomWorkloadTest {

    private static final int SEEDS = 150;
    private static final int VOCABULARY = 500;
    private static final int EOS = VOCABULARY - 1;

    private static final class Totals {
        long preemptions;
        long hits;
        long copies;
        long swappedOut;
        long swappedIn;
        int cancelled;
        int resumed;
    }

    @Test
    void everyOutputIsTheOraclesUnderRandomWorkloads() throws Exception {
        Totals totals = new Totals();
        for (int seed = 0; seed < SEEDS; seed++) {
            try {
                run(new Random(seed), totals);
            } catch (AssertionError | Exception e) {
                throw new AssertionError("seed " + seed, e);
            }
        }
        assertThat(totals.preemptions).isGreaterThan(200);
        assertThat(totals.hits).isGreaterThan(5000);
        assertThat(totals.copies).isGreaterThan(200);
        assertThat(totals.swappedOut).isGreaterThan(500);
        assertThat(totals.swappedIn).isGreaterThan(300);
        assertThat(totals.cancelled).isGreaterThan(50);
        assertThat(totals.resumed).isGreaterThan(200);
    }

    private static void run(Random random, Totals totals) throws Exception {
        MockTokens tokens = new MockTokens(random.nextLong(), VOCABULARY, EOS, 40);
        int block = 1 + random.nextInt(8);
        int maxLen = 40 + random.nextInt(60);
        int least = (maxLen + block - 1) / block;
        int blocks = random.nextInt(3) == 0 ? least * 40 : least + random.nextInt(2 * least);
        EngineConfig config = new EngineConfig(
                "mock",
                4 + random.nextInt(12),
                1000,
                1 + random.nextInt(random.nextBoolean() ? 8 : 300),
                maxLen,
                random.nextInt(10),
                random.nextInt(4) > 0,
                64,
                3);
        int hostBlocks = random.nextInt(4) == 0 ? 0 : 1 + random.nextInt(4 * least);
        MockConfig mock =
                MockConfig.of(tokens, block, blocks, 1 + random.nextInt(3)).withHostBlocks(hostBlocks);
        boolean overlaps = random.nextBoolean();
        try (TestEngine engine =
                overlaps ? MockEngine.overlapping(config, mock, in -> {}) : new MockEngine(config, mock)) {
            List<Job> jobs = new ArrayList<>();
            int count = 5 + random.nextInt(20);
            for (int i = 0; i < count; i++) {
                jobs.add(Job.random(random, tokens, maxLen, "r" + i));
            }
            for (Job job : jobs) {
                job.recorder = engine.submit(job.request);
                if (job.cancel && random.nextBoolean()) {
                    job.recorder().awaitFirstToken();
                }
                if (job.cancel) {
                    engine.engine.cancel(job.key);
                }
            }
            for (Job job : jobs) {
                job.check();
                totals.cancelled += job.recorder().cancelled() ? 1 : 0;
                totals.resumed += job.resumed ? 1 : 0;
            }
            engine.awaitIdle();
            totals.preemptions += engine.engine.load().preemptions();
            totals.hits += engine.engine.load().prefixHits();
            totals.copies += engine.copiedBlocks.get();
            totals.swappedOut += engine.engine.load().host().swappedOut();
            totals.swappedIn += engine.engine.load().host().swappedIn();
        }
    }

    private static final class Job {

        final String key;
        final Requests request;
        final List<int[]> expected = new ArrayList<>();
        final int[] prompt;
        final int maxTokens;
        final boolean cancel;
        boolean resumed;

        @Nullable
        Recorder recorder;

        private Job(String key, int[] prompt, int maxTokens, boolean cancel) {
            this.key = key;
            this.prompt = prompt;
            this.maxTokens = maxTokens;
            this.cancel = cancel;
            this.request = Requests.of(key, prompt).maxTokens(maxTokens).stopIds(EOS);
        }

        static Job random(Random random, MockTokens tokens, int maxLen, String key) {
            int length = 1 + random.nextInt(maxLen - 2);
            int[] base = Requests.ids(random.nextInt(3), maxLen, EOS);
            int[] prompt = Arrays.copyOf(base, length);
            if (random.nextInt(3) == 0) {
                prompt[random.nextInt(length)] = random.nextInt(EOS);
            }
            Job job = new Job(key, prompt, 1 + random.nextInt(maxLen), random.nextInt(6) == 0);
            int n = random.nextInt(3) == 0 ? 1 + random.nextInt(4) : 1;
            boolean greedy = random.nextBoolean();
            long seed = random.nextLong();
            int most = Math.min(job.maxTokens, maxLen - length);
            List<int[]> accepted = new ArrayList<>();
            boolean resume = random.nextInt(3) == 0;
            for (int c = 0; c < n; c++) {
                int[] ids = greedy ? tokens.greedy(prompt, most) : tokens.sampled(prompt, most, seed, c);
                job.expected.add(ids);
                accepted.add(Arrays.copyOf(ids, resume ? random.nextInt(ids.length + 1) : 0));
                job.resumed |= accepted.getLast().length > 0;
            }
            job.request.accepted(accepted).priority(random.nextInt(3));
            job.request.sampling(greedy ? SamplingParams.GREEDY : Requests.RANDOM, seed);
            return job;
        }

        Recorder recorder() {
            return Objects.requireNonNull(recorder);
        }

        void check() {
            Recorder recorder = recorder().await();
            if (cancel && recorder.cancelled()) {
                for (int c = 0; c < expected.size(); c++) {
                    int[] ids = recorder.ids(c);
                    assertThat(ids).isEqualTo(Arrays.copyOf(expected.get(c), ids.length));
                }
                return;
            }
            for (int c = 0; c < expected.size(); c++) {
                int[] ids = expected.get(c);
                assertThat(recorder.ids(c)).as("%s/%d", key, c).isEqualTo(ids);
                boolean eos = ids[ids.length - 1] == EOS;
                assertThat(recorder.ended(c)).isEqualTo(new Recorder.Ended(ids.length, eos ? "stop" : "length", ""));
            }
        }
    }
}
