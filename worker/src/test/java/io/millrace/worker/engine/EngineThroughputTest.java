package io.millrace.worker.engine;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import io.millrace.worker.backend.cpu.EmulatedCuda;
import io.millrace.worker.backend.cpu.KernelLibrary;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;

class EngineThroughputTest {

    private static List<String> rows(String engine) throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        String[] args = {engine, "../bench/shapes/tiny.json", "16", "8", "3:5", "2:2"};
        EngineThroughput.run(args, new PrintStream(bytes, true, StandardCharsets.UTF_8));
        return bytes.toString(StandardCharsets.UTF_8).lines().toList();
    }

    private static void areRows(String who, List<String> rows) {
        String what = who + ", tiny in bf16, %s tokens in, 8 out\t[0-9.]+\t[0-9.]+\ttokens/s, median of 3\t";
        assertThat(rows).hasSize(2);
        assertThat(rows.get(0)).matches(what.formatted("5 requests, 3 at a time, 16"));
        assertThat(rows.get(1)).matches(what.formatted("2 requests, 2 at a time, 16"));
        rows.forEach(row -> assertThat(Double.parseDouble(row.split("\t")[2])).isPositive());
    }

    @Test
    void aWholeEngineOnRandomWeightsGivesARowForEachWork() throws Exception {
        Assumptions.assumeTrue(KernelLibrary.find().isPresent(), "SKIPPED, the native kernels are not built");
        areRows("millrace", rows("cpu"));
    }

    @Test
    void theCudaEngineTakesThemToo() throws Exception {
        EmulatedCuda.library();
        areRows("millrace", rows("cuda"));
    }

    @Test
    void soDoProductsOfTheLibrary() throws Exception {
        EmulatedCuda.plainCublasLt();
        areRows("millrace by products of library:16", rows("cuda:library:16"));
    }

    @Test
    void noMoreRunAtATimeThanTheCacheHolds() {
        assertThat(EngineThroughput.running(512, 8609, 256)).isEqualTo(512);
        assertThat(EngineThroughput.running(512, 8608, 256)).isEqualTo(511);
        assertThat(EngineThroughput.running(512, 16 + 8, 256)).isEqualTo(1);
        assertThat(EngineThroughput.running(512, 3, 256)).isEqualTo(1);
    }

    /** An engine that keeps what it is given. */
    private static Engine keeping(Queue<GenerationListener> kept, List<String> keys) {
        return (Engine) Proxy.newProxyInstance(
                Engine.class.getClassLoader(), new Class<?>[] {Engine.class}, (proxy, method, args) -> {
                    keys.add(((GenerationRequest) args[0]).key());
                    kept.add((GenerationListener) args[1]);
                    return null;
                });
    }

    @Test
    void whenARequestEndsTheNextBegins() throws Exception {
        Queue<GenerationListener> kept = new ArrayDeque<>();
        List<String> keys = new ArrayList<>();
        ClosedLoop loop = new ClosedLoop(keeping(kept, keys), new ClosedLoop.Work(2, 5, 3, 4), 10, 7);
        assertThatThrownBy(() -> loop.seconds(0)).hasMessageContaining("5 of 5 requests are not over");
        for (int ended = 1; !kept.isEmpty(); ended++) {
            assertThat(kept).hasSize(Math.min(2, 6 - ended));
            kept.remove().onEnd(0, 4, "length", "", "");
        }
        assertThat(keys).containsExactly("request-7-0", "request-7-1", "request-7-2", "request-7-3", "request-7-4");
    }

    @Test
    void aRequestThatFailsOrStopsEarlyEndsTheMeasurement() {
        Queue<GenerationListener> kept = new ArrayDeque<>();
        ClosedLoop early = new ClosedLoop(keeping(kept, new ArrayList<>()), new ClosedLoop.Work(1, 3, 3, 4), 10, 0);
        assertThatThrownBy(() -> early.seconds(0)).isInstanceOf(IllegalStateException.class);
        kept.remove().onEnd(0, 3, "stop", "", "");
        assertThat(kept).isEmpty();

        ClosedLoop failing = new ClosedLoop(
                (Engine) Proxy.newProxyInstance(
                        Engine.class.getClassLoader(), new Class<?>[] {Engine.class}, (proxy, method, args) -> {
                            ((GenerationListener) args[1]).onFailure("MR-ENGINE-002", "too long", false);
                            return null;
                        }),
                new ClosedLoop.Work(2, 3, 3, 4),
                10,
                0);
        assertThatThrownBy(() -> failing.seconds(60)).hasMessage("MR-ENGINE-002 too long");
    }
}
