package io.millrace.worker.journal;

import static org.assertj.core.api.Assertions.assertThat;

import io.micrometer.core.instrument.simple.SimpleMeterRegistry;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.engine.EngineLoad;
import java.lang.reflect.Proxy;
import java.util.Map;
import org.junit.jupiter.api.Test;

class WorkerMetricsTest {

    @Test
    void whatIsOnTheHostAndWentThereAndBackIsMeasured() {
        EngineLoad load = new EngineLoad(
                1, 2, 4, 100, 40, 16, 0, 0, 0, 9, 3, 0, 0, 0, new EngineLoad.Host(60, 7, 31, 24, 0.25, 5));
        Engine engine = of(Engine.class, Map.of("load", load));
        var registry = new SimpleMeterRegistry();
        new WorkerMetrics(registry, "w", of(HostedModel.class, Map.of("name", "m", "engine", engine)));
        Map<String, Double> counters = Map.of(
                "millrace.kv.cache.blocks.swapped.out", 31.0,
                "millrace.kv.cache.blocks.swapped.in", 24.0,
                "millrace.engine.copied.rows", 5.0,
                "millrace.num.preemptions", 3.0);
        counters.forEach((name, value) -> assertThat(registry.get(name)
                        .tag("model_name", "m")
                        .functionCounter()
                        .count())
                .as(name)
                .isEqualTo(value));
        Map<String, Double> gauges = Map.of(
                "millrace.kv.host.blocks.used", 7.0,
                "millrace.kv.host.blocks.capacity", 60.0,
                "millrace.kv.host.block.time", 0.25,
                "millrace.kv.cache.blocks.used", 60.0);
        gauges.forEach((name, value) -> assertThat(
                        registry.get(name).tag("worker", "w").gauge().value())
                .as(name)
                .isEqualTo(value));
    }

    /** One that answers with these values, and with nothing else. */
    private static <T> T of(Class<T> type, Map<String, Object> answers) {
        return type.cast(Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (proxy, method, args) -> {
            Object answer = answers.get(method.getName());
            if (answer == null) {
                throw new AssertionError(method.getName() + " was called");
            }
            return answer;
        }));
    }
}
