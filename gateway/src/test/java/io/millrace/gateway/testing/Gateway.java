package io.millrace.gateway.testing;

import io.millrace.gateway.config.GatewayConfiguration;
import io.millrace.shared.log.Log;
import io.millrace.shared.log.kafka.KafkaLog;
import io.millrace.shared.log.kafka.KafkaSettings;
import io.millrace.shared.log.kafka.TopicAdmin;
import io.millrace.shared.log.kafka.TopicPlan;
import io.millrace.shared.proto.ModelCredit;
import io.millrace.shared.testing.TestBroker;
import io.opentelemetry.api.OpenTelemetry;
import io.opentelemetry.sdk.OpenTelemetrySdk;
import io.opentelemetry.sdk.common.CompletableResultCode;
import io.opentelemetry.sdk.trace.SdkTracerProvider;
import io.opentelemetry.sdk.trace.data.SpanData;
import io.opentelemetry.sdk.trace.export.SimpleSpanProcessor;
import io.opentelemetry.sdk.trace.export.SpanExporter;
import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.springframework.boot.SpringBootConfiguration;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.context.ConfigurableApplicationContext;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Import;
import org.springframework.context.support.GenericApplicationContext;

/** A real gateway on a free port over a real broker, with a fake cluster behind. */
public final class Gateway implements AutoCloseable {

    @SpringBootConfiguration
    @EnableAutoConfiguration
    @Import(GatewayConfiguration.class)
    static class Application {

        @Bean
        Spans spans() {
            return new Spans();
        }

        @Bean
        OpenTelemetry openTelemetry(Spans spans) {
            return OpenTelemetrySdk.builder()
                    .setTracerProvider(SdkTracerProvider.builder()
                            .addSpanProcessor(SimpleSpanProcessor.create(spans))
                            .build())
                    .build();
        }
    }

    /** Keeps spans in memory. */
    static final class Spans implements SpanExporter {

        private final List<SpanData> ended = new CopyOnWriteArrayList<>();

        List<SpanData> ended() {
            return ended;
        }

        @Override
        public CompletableResultCode export(Collection<SpanData> spans) {
            ended.addAll(spans);
            return CompletableResultCode.ofSuccess();
        }

        @Override
        public CompletableResultCode flush() {
            return CompletableResultCode.ofSuccess();
        }

        @Override
        public CompletableResultCode shutdown() {
            return CompletableResultCode.ofSuccess();
        }
    }

    private final TestBroker broker;
    private final KafkaSettings kafka;
    private final KafkaLog clusterLog;
    private final FakeCluster cluster;
    private final ConfigurableApplicationContext context;
    private final HttpClient http =
            HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

    private Gateway(TestBroker broker, KafkaSettings kafka, String... properties) {
        this.broker = broker;
        this.kafka = kafka;
        TopicAdmin.ensure(kafka, TopicPlan.defaults(), Duration.ofSeconds(30));
        this.clusterLog = new KafkaLog(kafka.withClientId("cluster"));
        this.cluster = new FakeCluster(clusterLog)
                .serve("echo", journal -> journal.answer("Hello", ",", " \"wörld\"", " 🙂\n"));
        this.context = start(kafka, properties);
    }

    /** Starts a broker and a gateway, and waits until it is ready. */
    public static Gateway start(String... properties) {
        TestBroker broker = TestBroker.start();
        return start(broker, broker.settings(), properties);
    }

    /** The same, with appends that fail after that time without Kafka. */
    public static Gateway startImpatient(Duration deliveryTimeout, String... properties) {
        TestBroker broker = TestBroker.start();
        return start(broker, broker.settings().withDeliveryTimeout(deliveryTimeout), properties);
    }

    private static Gateway start(TestBroker broker, KafkaSettings kafka, String... properties) {
        var gateway = new Gateway(broker, kafka, properties);
        gateway.awaitReady("echo");
        return gateway;
    }

    /** Another gateway on the same cluster; the caller closes it. */
    public ConfigurableApplicationContext another(String... properties) {
        return start(kafka, properties);
    }

    private static ConfigurableApplicationContext start(KafkaSettings kafka, String... properties) {
        List<String> all = new ArrayList<>(List.of(
                "server.port=0", "spring.main.banner-mode=off", "spring.lifecycle.timeout-per-shutdown-phase=1s"));
        all.addAll(List.of(properties));
        return new SpringApplicationBuilder(Application.class)
                .initializers(context -> ((GenericApplicationContext) context)
                        .registerBean(Log.class, () -> new KafkaLog(kafka.withClientId("gateway"))))
                .run(all.stream().map(each -> "--" + each).toArray(String[]::new));
    }

    /** Serves a model by that script; the gateway knows it when this returns. */
    public Gateway serve(String model, Consumer<Journal> script) {
        cluster.serve(model, script);
        awaitReady(model);
        return this;
    }

    public Gateway serve(ModelCredit credit, Consumer<Journal> script) {
        cluster.serve(credit, script);
        awaitReady(credit.getModel());
        return this;
    }

    private void awaitReady(String model) {
        long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (System.nanoTime() < deadline) {
            try {
                if (get("/health").statusCode() == 200
                        && get("/v1/models").body().contains("\"id\":\"" + model + "\"")) {
                    return;
                }
                TimeUnit.MILLISECONDS.sleep(20);
            } catch (IOException | InterruptedException e) {
                throw new IllegalStateException(e);
            }
        }
        throw new IllegalStateException("the gateway is not ready");
    }

    public TestBroker broker() {
        return broker;
    }

    public FakeCluster cluster() {
        return cluster;
    }

    public ConfigurableApplicationContext context() {
        return context;
    }

    public int port() {
        return Integer.parseInt(context.getEnvironment().getRequiredProperty("local.server.port"));
    }

    public URI uri(String path) {
        return URI.create("http://127.0.0.1:" + port() + path);
    }

    public HttpResponse<String> get(String path) throws IOException, InterruptedException {
        return http.send(HttpRequest.newBuilder(uri(path)).build(), HttpResponse.BodyHandlers.ofString());
    }

    public HttpResponse<String> post(String path, String body) throws IOException, InterruptedException {
        return http.send(request(path, body).build(), HttpResponse.BodyHandlers.ofString());
    }

    public HttpRequest.Builder request(String path, String body) {
        return HttpRequest.newBuilder(uri(path))
                .header("Content-Type", "application/json")
                .timeout(Duration.ofSeconds(30))
                .POST(HttpRequest.BodyPublishers.ofString(body));
    }

    public HttpClient http() {
        return http;
    }

    /** Spans that this gateway has ended. */
    public List<SpanData> spans() {
        return context.getBean(Spans.class).ended();
    }

    @Override
    public void close() {
        http.shutdownNow();
        context.close();
        cluster.close();
        clusterLog.close();
        broker.close();
    }
}
