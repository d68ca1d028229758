package io.millrace.standalone.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import io.millrace.shared.fold.JournalFold;
import io.millrace.shared.proto.JournalRecord.RecordCase;
import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.testing.TestBroker;
import io.millrace.standalone.cluster.Cluster.Part;
import io.millrace.standalone.cluster.Cluster.Sent;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.engine.EngineLoad;
import io.millrace.worker.engine.GenerationListener;
import io.millrace.worker.engine.GenerationRequest;
import io.millrace.worker.engine.PoolingListener;
import io.millrace.worker.engine.PoolingRequest;
import io.millrace.worker.journal.HostedModel;
import io.millrace.worker.journal.Preparation;
import io.millrace.worker.journal.WorkerNode;
import io.millrace.worker.serving.ModelHost;
import io.millrace.worker.serving.ModelOptions;
import io.millrace.worker.serving.ModelProgress;
import io.millrace.worker.serving.ServedModel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** A request of many inputs survives its worker: what was accepted is kept, the rest is computed by another. */
class PoolingClusterTest {

    private static final int INPUTS = 12;
    private static final int BEFORE_THE_DEATH = 5;
    private static final Duration GRACE = Duration.ofSeconds(30);

    private static TestBroker broker;
    private static ServedModel served;

    @BeforeAll
    static void start() {
        broker = TestBroker.start();
        served = ModelHost.fromEnvironment()
                .load(
                        "bert=" + Path.of("../worker/src/test/resources/golden/encoders/bert-tiny"),
                        ModelOptions.DEFAULT.withThreads(1),
                        ModelProgress.NONE);
    }

    @AfterAll
    static void stop() {
        served.close();
        broker.close();
    }

    /** The real model; its engine holds back every output after the first few, once, if it is told to. */
    private static final class Held implements HostedModel, Engine {

        private final int most;
        private final List<PoolingRequest> pooled = new CopyOnWriteArrayList<>();

        Held(int most) {
            this.most = most;
        }

        @Override
        public void pool(PoolingRequest request, PoolingListener listener) {
            boolean warmUp = request.key().equals("warm-up");
            if (!warmUp) {
                pooled.add(request);
            }
            served.engine().pool(request, warmUp ? listener : new Holding(listener));
        }

        private final class Holding implements PoolingListener {

            private final PoolingListener listener;
            private int told;

            Holding(PoolingListener listener) {
                this.listener = listener;
            }

            @Override
            public void onScheduled(int cachedTokens) {
                listener.onScheduled(cachedTokens);
            }

            @Override
            public void onOutput(int index, float[] values) {
                if (told++ < most) {
                    listener.onOutput(index, values);
                }
            }

            @Override
            public void onPooled() {
                if (told <= most) {
                    listener.onPooled();
                }
            }

            @Override
            public void onFailure(String code, String message, boolean retryable) {
                listener.onFailure(code, message, retryable);
            }

            @Override
            public void onCancelled() {
                listener.onCancelled();
            }
        }

        @Override
        public void submit(GenerationRequest request, GenerationListener listener) {
            served.engine().submit(request, listener);
        }

        @Override
        public void cancel(String key) {
            served.engine().cancel(key);
        }

        @Override
        public EngineLoad load() {
            return served.engine().load();
        }

        @Override
        public CompletableFuture<Void> drain() {
            return CompletableFuture.completedFuture(null);
        }

        @Override
        public void close() {}

        @Override
        public String name() {
            return served.name();
        }

        @Override
        public List<String> aliases() {
            return served.aliases();
        }

        @Override
        public long weightsHash() {
            return served.weightsHash();
        }

        @Override
        public long tokenizerHash() {
            return served.tokenizerHash();
        }

        @Override
        public String numericsId() {
            return served.numericsId();
        }

        @Override
        public int maxModelLen() {
            return served.maxModelLen();
        }

        @Override
        public Set<Submit.Task> tasks() {
            return served.tasks();
        }

        @Override
        public String dtype() {
            return served.dtype();
        }

        @Override
        public long parameters() {
            return served.parameters();
        }

        @Override
        public Engine engine() {
            return this;
        }

        @Override
        public byte[] tokenBytes(int id) {
            return served.tokenBytes(id);
        }

        @Override
        public Preparation prepare(String key, Submit submit, List<int[]> accepted, boolean[] ended, boolean solo) {
            return served.prepare(key, submit, accepted, ended, solo);
        }
    }

    private static Submit submit(String model, int inputs, int words) {
        PoolingInput.Builder pooling = PoolingInput.newBuilder();
        for (int i = 0; i < inputs; i++) {
            pooling.addInputs(PoolingText.newBuilder().setText("rain ".repeat(words) + "day " + i));
        }
        return Cluster.submit(model, "", 1, 1).toBuilder()
                .clearSampling()
                .setTask(Submit.Task.EMBED)
                .setPooling(pooling)
                .build();
    }

    @Test
    void whenAWorkerIsKilledAnotherComputesWhatIsLeft() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            Part<WorkerNode> first = cluster.worker("w1", new Held(BEFORE_THE_DEATH));
            Sent sent = cluster.send(submit("bert", INPUTS, 3));
            Cluster.await("some outputs", () -> cluster.outputs(sent) == BEFORE_THE_DEATH);
            assertThat(cluster.terminal(sent)).isFalse();
            Held other = new Held(INPUTS);
            cluster.worker("w2", other);
            first.kill();
            cluster.awaitEnd(sent);
            JournalFold journal = cluster.journal(sent);
            assertThat(cluster.last(sent).getRecordCase()).isEqualTo(RecordCase.END);
            assertThat(journal.attempt()).isEqualTo(2);
            assertThat(journal.outputsEnded()).hasSize(INPUTS);
            assertThat(journal.inexact()).isFalse();
            assertThat(served.prepare("k", sent.submit(), List.of(new int[0]), new boolean[1], false))
                    .isInstanceOfSatisfying(
                            Preparation.Pooled.class,
                            prepared -> assertThat(journal.usage().getPromptTokens())
                                    .isEqualTo(prepared.request().tokens()));
            assertThat(other.pooled).hasSize(1);
            assertThat(other.pooled.getFirst().outputs()).hasSize(INPUTS - BEFORE_THE_DEATH);
        }
    }

    @Test
    void aCancelledRequestAndOneThatCannotBeServedEndWithTheirReasons() throws Exception {
        try (var cluster = new Cluster(broker.settings())) {
            cluster.router("r1", GRACE);
            cluster.worker("w1", new Held(1));
            Sent stuck = cluster.send(submit("bert", 2, 2));
            Cluster.await("an output", () -> cluster.outputs(stuck) == 1);
            cluster.cancel(stuck);
            cluster.awaitEnd(stuck);
            assertThat(cluster.last(stuck).getRecordCase()).isEqualTo(RecordCase.CANCEL);
            Sent far = cluster.send(submit("bert", 1, 500));
            cluster.awaitEnd(far);
            assertThat(cluster.last(far).getRefuse().getCode()).isEqualTo("context_length_exceeded");
            Sent wrong = cluster.send(Cluster.submit("bert", "write", 5, 1));
            cluster.awaitEnd(wrong);
            assertThat(cluster.last(wrong).getRefuse().getMessage()).contains("embed, score");
        }
    }
}
