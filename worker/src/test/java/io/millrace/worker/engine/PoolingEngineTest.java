package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import io.millrace.shared.log.Clock;
import io.millrace.worker.backend.KvLayout;
import io.millrace.worker.backend.ModelRuntime;
import io.millrace.worker.backend.StepInputs;
import io.millrace.worker.backend.StepOutputs;
import io.millrace.worker.engine.PoolingRequest.Finish;
import io.millrace.worker.engine.PoolingRequest.Input;
import io.millrace.worker.engine.PoolingRequest.Output;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Whole inputs through the pooling engine, over a runtime whose row is (sum of ids, number of ids, first id). */
@Timeout(60)
class PoolingEngineTest {

    private final List<StepInputs> steps = new CopyOnWriteArrayList<>();
    private volatile Consumer<StepInputs> before = inputs -> {};
    private volatile float poison = 0;
    private final PoolingEngine engine = PoolingEngine.start(
            EngineConfig.of("pool", 32).withMaxBatchedTokens(10).withMaxRunning(4), new Sums(), Clock.SYSTEM, r -> {});

    private final class Sums implements ModelRuntime {

        @Override
        public KvLayout kvLayout() {
            return new KvLayout(1, List.of());
        }

        @Override
        public int vocabularySize() {
            return 100;
        }

        @Override
        public StepOutputs run(StepInputs in) {
            steps.add(in);
            before.accept(in);
            float[][] rows = new float[in.sequences()][];
            for (int s = 0; s < rows.length; s++) {
                int sum = 0;
                for (int t = in.queryStart()[s]; t < in.queryStart()[s + 1]; t++) {
                    sum += in.tokens()[t] + Objects.requireNonNull(in.types())[t];
                }
                rows[s] = new float[] {sum, in.contextLen()[s], in.tokens()[in.queryStart()[s]] + poison};
            }
            return StepOutputs.pooled(rows);
        }

        @Override
        public void copyBlocks(int group, int[] from, int[] to) {}

        @Override
        public String numericsId() {
            return "sums";
        }

        @Override
        public long steps() {
            return steps.size();
        }

        @Override
        public void close() {}
    }

    private static final class Heard implements PoolingListener {

        private final Map<Integer, float[]> outputs = new ConcurrentHashMap<>();
        private final CompletableFuture<String> end = new CompletableFuture<>();

        @Override
        public void onOutput(int index, float[] values) {
            assertThat(outputs.put(index, values)).isNull();
        }

        @Override
        public void onPooled() {
            end.complete("pooled");
        }

        @Override
        public void onFailure(String code, String message, boolean retryable) {
            end.complete(code + (retryable ? " retryable" : ""));
        }

        @Override
        public void onCancelled() {
            end.complete("cancelled");
        }

        float[] output(int index) {
            return Objects.requireNonNull(outputs.get(index));
        }

        String await() throws Exception {
            return end.get(20, TimeUnit.SECONDS);
        }
    }

    private static Input input(int... ids) {
        return new Input(ids, new int[ids.length]);
    }

    private static PoolingRequest embed(String key, int priority, Input... inputs) {
        List<Output> outputs = new ArrayList<>();
        for (int i = 0; i < inputs.length; i++) {
            outputs.add(new Output(i, i, -1));
        }
        return new PoolingRequest(key, List.of(inputs), outputs, Finish.EMBEDDING, 0, priority, 0, false);
    }

    private Heard submit(PoolingRequest request) {
        Heard heard = new Heard();
        engine.pool(request, heard);
        return heard;
    }

    @AfterEach
    void close() {
        engine.close();
    }

    @Test
    void every_input_becomes_a_row_of_length_one_and_steps_hold_whole_inputs_within_the_budget() throws Exception {
        Heard heard = submit(embed("a", 2, input(3, 4), input(1, 1, 1, 1, 1, 1, 1), input(5), input(9, 9, 9)));
        assertThat(heard.await()).isEqualTo("pooled");
        float[] row = heard.output(0);
        double length = Math.sqrt(49 + 4 + 9);
        assertThat(row[0]).isCloseTo((float) (7 / length), within(1e-6f));
        assertThat(row[1]).isCloseTo((float) (2 / length), within(1e-6f));
        assertThat(heard.outputs).hasSize(4);
        assertThat(steps).allSatisfy(s -> assertThat(s.rows()).isLessThanOrEqualTo(10));
        assertThat(steps.stream().mapToInt(StepInputs::sequences).sum()).isEqualTo(4);
        assertThat(steps.getFirst().positions()).startsWith(0, 1, 0, 1, 2);
    }

    @Test
    void an_input_longer_than_the_budget_runs_alone_and_one_longer_than_the_context_is_refused() throws Exception {
        assertThat(submit(embed("a", 2, input(new int[32]))).await()).isEqualTo("pooled");
        assertThat(submit(embed("b", 2, input(new int[33]))).await()).isEqualTo("MR-ENGINE-002");
        assertThat(submit(embed("c", 2, input(100))).await()).isEqualTo("MR-ENGINE-010");
        assertThat(submit(embed("d", 2, input())).await()).isEqualTo("MR-ENGINE-010");
    }

    @Test
    void a_request_of_one_input_does_not_wait_for_all_of_an_earlier_one() throws Exception {
        Gate gate = new Gate();
        before = gate;
        Input[] many = new Input[40];
        java.util.Arrays.fill(many, input(1, 2, 3, 4));
        Heard long1 = submit(embed("many", 2, many));
        gate.awaitEntered();
        Heard single = submit(embed("one", 2, input(50)));
        before = inputs -> {};
        gate.open();
        assertThat(single.await()).isEqualTo("pooled");
        assertThat(long1.await()).isEqualTo("pooled");
        assertThat(steps.get(1).tokens()).contains(50);
    }

    @Test
    void the_more_important_run_first_and_a_solo_request_alone() throws Exception {
        Gate gate = new Gate();
        before = gate;
        Heard first = submit(embed("first", 2, input(1)));
        gate.awaitEntered();
        Heard low = submit(embed("low", 1, input(11, 11, 11, 11, 11, 11)));
        Heard high = submit(embed("high", 3, input(33, 33, 33, 33, 33, 33)));
        Heard solo = submit(new PoolingRequest(
                "solo", List.of(input(7)), List.of(new Output(0, 0, -1)), Finish.LOGIT, 0, 3, 0, true));
        before = inputs -> {};
        gate.open();
        for (Heard each : List.of(first, low, high, solo)) {
            assertThat(each.await()).isEqualTo("pooled");
        }
        assertThat(steps.get(1).tokens()[0]).isEqualTo(33);
        assertThat(steps.stream().filter(s -> s.tokens()[0] == 7)).allMatch(s -> s.sequences() == 1);
    }

    @Test
    void scores_are_logits_sigmoids_or_cosines() throws Exception {
        PoolingRequest logit =
                new PoolingRequest("l", List.of(input(2)), List.of(new Output(0, 0, -1)), Finish.LOGIT, 0, 2, 0, false);
        PoolingRequest sigmoid = new PoolingRequest(
                "s", List.of(input(2)), List.of(new Output(0, 0, -1)), Finish.SIGMOID, 0, 2, 0, false);
        PoolingRequest cosine = new PoolingRequest(
                "c",
                List.of(input(2), input(3), input(40, 41)),
                List.of(new Output(0, 0, 1), new Output(1, 0, 2), new Output(2, 0, 0)),
                Finish.COSINE,
                0,
                2,
                0,
                false);
        Heard heard = submit(cosine);
        assertThat(heard.await()).isEqualTo("pooled");
        // (2,1,2) and (3,1,3)
        assertThat(heard.output(0)[0]).isCloseTo((float) (13 / (3 * Math.sqrt(19))), within(1e-6f));
        assertThat(heard.output(2)[0]).isCloseTo(1f, within(1e-6f));
        Heard one = submit(logit);
        Heard two = submit(sigmoid);
        assertThat(one.await()).isEqualTo("pooled");
        assertThat(two.await()).isEqualTo("pooled");
        assertThat(one.output(0)).containsExactly(2f);
        assertThat(two.output(0)[0]).isCloseTo((float) (1 / (1 + Math.exp(-2))), within(1e-7f));
    }

    @Test
    void dimensions_are_cut_before_the_length_is_made_one() throws Exception {
        Heard heard = submit(new PoolingRequest(
                "d", List.of(input(3, 4)), List.of(new Output(0, 0, -1)), Finish.EMBEDDING, 2, 2, 0, false));
        assertThat(heard.await()).isEqualTo("pooled");
        assertThat(heard.output(0)).hasSize(2);
        assertThat(heard.output(0)[0]).isCloseTo((float) (7 / Math.sqrt(53)), within(1e-6f));
    }

    @Test
    void outputs_of_earlier_attempts_are_not_made_again() throws Exception {
        PoolingRequest request = embed("r", 2, input(1), input(2), input(3));
        Heard rest = submit(request.without(Set.of(0, 2)));
        assertThat(rest.await()).isEqualTo("pooled");
        assertThat(rest.outputs).containsOnlyKeys(1);
        Heard nothing = submit(request.without(Set.of(0, 1, 2)));
        assertThat(nothing.await()).isEqualTo("pooled");
        assertThat(steps.stream().mapToInt(StepInputs::rows).sum()).isEqualTo(1);
    }

    @Test
    void a_cancelled_request_stops_and_a_late_one_fails() throws Exception {
        Gate gate = new Gate();
        before = gate;
        Input[] many = new Input[100];
        java.util.Arrays.fill(many, input(1, 2, 3, 4));
        Heard heard = submit(embed("many", 2, many));
        gate.awaitEntered();
        engine.cancel("many");
        gate.open();
        assertThat(heard.await()).isEqualTo("cancelled");
        PoolingRequest late = new PoolingRequest(
                "late", List.of(input(1)), List.of(new Output(0, 0, -1)), Finish.LOGIT, 0, 2, 1, false);
        assertThat(submit(late).await()).isEqualTo("MR-ENGINE-007");
        engine.drain().get(10, TimeUnit.SECONDS);
        assertThat(steps).hasSize(1);
        assertThat(engine.load().running()).isZero();
    }

    @Test
    void a_failed_step_hands_its_requests_back_and_three_in_a_row_end_the_engine() throws Exception {
        before = inputs -> {
            throw new IllegalStateException("no memory");
        };
        assertThat(submit(embed("a", 2, input(1))).await()).isEqualTo("MR-ENGINE-006 retryable");
        before = inputs -> {};
        assertThat(submit(embed("b", 2, input(1))).await()).isEqualTo("pooled");
        before = inputs -> {
            throw new IllegalStateException("no memory");
        };
        for (int i = 0; i < 3; i++) {
            assertThat(submit(embed("c" + i, 2, input(1))).await()).isEqualTo("MR-ENGINE-006 retryable");
        }
        assertThat(submit(embed("d", 2, input(1))).await()).isEqualTo("MR-ENGINE-009 retryable");
        assertThat(engine.healthy()).isFalse();
    }

    @Test
    void a_row_that_is_no_number_fails_its_request_alone() throws Exception {
        poison = Float.NaN;
        assertThat(submit(embed("a", 2, input(1))).await()).isEqualTo("MR-ENGINE-015 retryable");
        poison = 0;
        assertThat(submit(embed("b", 2, input(1))).await()).isEqualTo("pooled");
    }

    @Test
    void a_closed_engine_hands_everything_back() throws Exception {
        Gate gate = new Gate();
        before = gate;
        Heard running = submit(embed("a", 2, input(1), input(2, 2, 2, 2, 2, 2, 2, 2, 2, 2)));
        gate.awaitEntered();
        Heard waiting = submit(embed("b", 2, input(1)));
        Thread closer = Thread.ofVirtual().start(engine::close);
        while (engine.healthy()) {
            Thread.onSpinWait();
        }
        gate.open();
        closer.join();
        assertThat(running.await()).isEqualTo("MR-ENGINE-008 retryable");
        assertThat(waiting.await()).isEqualTo("MR-ENGINE-008 retryable");
        assertThat(submit(embed("c", 2, input(1))).await()).isEqualTo("MR-ENGINE-008 retryable");
    }

    @Test
    void a_text_is_refused_also_by_an_engine_that_is_closed() {
        GenerationRequest text = Requests.of("text", 1, 2).build();
        Recorder open = new Recorder(text);
        engine.submit(text, open);
        assertThat(open.await().failure()).contains("MR-ENGINE-014");
        engine.close();
        Recorder closed = new Recorder(text);
        engine.submit(text, closed);
        assertThat(closed.await().failure()).contains("MR-ENGINE-014");
    }

    @Test
    void a_request_whose_output_is_made_of_no_input_is_refused_and_harms_nobody_else() throws Exception {
        PoolingRequest bad = new PoolingRequest(
                "bad", List.of(input(1)), List.of(new Output(0, 1, -1)), Finish.EMBEDDING, 0, 2, 0, false);
        assertThat(submit(bad).await()).isEqualTo("MR-ENGINE-010");
        assertThat(submit(embed("good", 2, input(1))).await()).isEqualTo("pooled");
        assertThat(engine.healthy()).isTrue();
        engine.drain().get(10, TimeUnit.SECONDS);
        assertThat(engine.load().running() + engine.load().waiting()).isZero();
    }
}
