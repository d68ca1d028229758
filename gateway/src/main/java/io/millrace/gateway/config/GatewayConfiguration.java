package io.millrace.gateway.config;

import io.micrometer.core.instrument.MeterRegistry;
import io.millrace.gateway.api.Endpoints;
import io.millrace.gateway.api.ErrorAnswers;
import io.millrace.gateway.api.GatewayMetrics;
import io.millrace.gateway.auth.KeyFile;
import io.millrace.gateway.auth.Keyring;
import io.millrace.gateway.batch.BatchRunner;
import io.millrace.gateway.batch.FileStore;
import io.millrace.gateway.batch.Registry;
import io.millrace.gateway.edge.Edge;
import io.millrace.gateway.edge.Refusals;
import io.millrace.gateway.limits.Admission;
import io.millrace.gateway.limits.Quotas;
import io.millrace.gateway.node.ClusterView;
import io.millrace.gateway.node.ClusterWatch;
import io.millrace.gateway.node.Dispatcher;
import io.millrace.gateway.node.GatewayNode;
import io.millrace.gateway.node.JournalHub;
import io.millrace.gateway.node.LogPieces;
import io.millrace.gateway.node.LogScans;
import io.millrace.gateway.node.NodeSettings;
import io.millrace.gateway.trace.Traces;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import io.opentelemetry.api.OpenTelemetry;
import java.nio.file.Path;
import java.time.InstantSource;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.reactor.netty.NettyReactiveWebServerFactory;
import org.springframework.boot.web.server.WebServerFactoryCustomizer;
import org.springframework.context.ApplicationListener;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.PropertySource;
import org.springframework.context.event.ContextClosedEvent;
import org.springframework.core.Ordered;
import org.springframework.core.annotation.Order;
import org.springframework.http.client.ReactorResourceFactory;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.ServerResponse;

/**
 * The gateway as beans of a reactive Spring Boot application. Wants a {@link Log}; takes an {@link OpenTelemetry}, a
 * {@link Clock} and a {@link MeterRegistry} where the application has them.
 */
@Configuration(proxyBeanMethods = false)
@EnableConfigurationProperties(GatewayProperties.class)
@PropertySource("classpath:io/millrace/gateway/gateway-defaults.properties")
public class GatewayConfiguration {

    private static final String SCOPE = "io.millrace.gateway";

    /** Event loops of this gateway's own: the global ones end for all gateways of a JVM when the first one stops. */
    @Bean
    ReactorResourceFactory gatewayReactorResources() {
        var resources = new ReactorResourceFactory();
        resources.setUseGlobalResources(false);
        return resources;
    }

    @Bean
    NodeSettings gatewayNodeSettings(GatewayProperties properties) {
        String node = properties.node().isEmpty()
                ? "gateway-" + RequestId.random(0).text().substring(4, 12)
                : properties.node();
        return properties.nodeSettings(node);
    }

    @Bean
    Quotas gatewayQuotas(NodeSettings settings, ObjectProvider<Clock> clock) {
        return new Quotas(settings.node(), settings.beat().toMillis(), clock(clock));
    }

    @Bean
    ClusterView gatewayClusterView(NodeSettings settings, Quotas quotas, ObjectProvider<Clock> clock) {
        return new ClusterView(settings, clock(clock), quotas);
    }

    @Bean
    ClusterWatch gatewayClusterWatch(Log log, ClusterView view, ObjectProvider<Clock> clock) {
        return new ClusterWatch(log, view, clock(clock));
    }

    /** Who looks at the cluster is let go before the server waits for its open answers. */
    @Bean
    ApplicationListener<ContextClosedEvent> gatewayClusterWatchEnd(ClusterWatch watch) {
        return closed -> watch.close();
    }

    @Bean
    Traces gatewayTraces(Log log, GatewayProperties properties) {
        return new Traces(log, properties.jaegerAddress());
    }

    @Bean
    JournalHub gatewayJournalHub(Log log) {
        return new JournalHub(log);
    }

    @Bean
    GatewayNode gatewayNode(
            Log log,
            JournalHub hub,
            ClusterView view,
            Quotas quotas,
            NodeSettings settings,
            ObjectProvider<Clock> clock) {
        return new GatewayNode(log, hub, view, quotas, settings, clock(clock));
    }

    @Bean
    LogScans gatewayLogScans(Log log, GatewayProperties properties) {
        return new LogScans(log, properties.scans(), properties.scansWaitingMax());
    }

    @Bean
    Dispatcher gatewayDispatcher(
            Log log, JournalHub hub, LogScans scans, NodeSettings settings, ObjectProvider<Clock> clock) {
        return new Dispatcher(log, hub, scans, settings, clock(clock));
    }

    @Bean
    Registry gatewayRegistry(Log log, ObjectProvider<Clock> clock) {
        return new Registry(log, clock(clock));
    }

    @Bean
    FileStore gatewayFileStore(Log log, LogScans scans) {
        return new FileStore(log, new LogPieces(scans));
    }

    @Bean
    BatchRunner gatewayBatchRunner(
            Registry registry,
            FileStore store,
            GatewayNode node,
            GatewayProperties properties,
            ObjectProvider<Clock> clock) {
        return new BatchRunner(
                registry,
                store,
                node,
                clock(clock),
                (int) properties.bodyMax().toBytes(),
                properties.batchLinesMax(),
                properties.batchConcurrent());
    }

    @Bean
    Admission gatewayAdmission(ClusterView view, Quotas quotas, GatewayProperties properties) {
        return new Admission(view, quotas, properties.kafkaSilence().toMillis(), properties.memberTimeout());
    }

    @Bean
    GatewayMetrics gatewayMetrics(MeterRegistry meters, JournalHub hub, LogScans scans) {
        return new GatewayMetrics(meters, hub, scans);
    }

    @Bean
    GatewayHealth gatewayHealthIndicator(ClusterView view, GatewayProperties properties) {
        return new GatewayHealth(view, properties.kafkaSilence().toMillis());
    }

    @Bean
    Keyring gatewayKeyring(GatewayProperties properties) {
        KeyFile file = properties.keysFile().isEmpty() ? null : new KeyFile(Path.of(properties.keysFile()));
        return new Keyring(properties.apiKeys(), file, properties.tenantLimits(), InstantSource.system());
    }

    @Bean
    Edge gatewayEdge(Keyring keys, Admission admission, GatewayProperties properties, GatewayMetrics metrics) {
        return new Edge(keys, admission, properties.corsOrigins(), metrics::failed);
    }

    /** Last, when the server's own limits are set. */
    @Bean
    @Order(Ordered.LOWEST_PRECEDENCE)
    WebServerFactoryCustomizer<NettyReactiveWebServerFactory> gatewayRefusals(ObjectProvider<GatewayMetrics> metrics) {
        return factory -> factory.addServerCustomizers(server ->
                server.doOnChannelInit((observer, channel, address) -> Refusals.addTo(
                        channel,
                        server.configuration().decoder(),
                        status -> metrics.getObject().failed(status))));
    }

    @Bean
    ErrorAnswers gatewayErrorAnswers() {
        return new ErrorAnswers();
    }

    @Bean
    RouterFunction<ServerResponse> gatewayRoutes(
            GatewayProperties properties,
            NodeSettings settings,
            ObjectProvider<Clock> clock,
            Admission admission,
            GatewayNode node,
            Dispatcher dispatcher,
            Registry registry,
            FileStore store,
            BatchRunner runner,
            ClusterWatch watch,
            Traces traces,
            Edge edge,
            GatewayMetrics metrics,
            GatewayHealth health,
            ObjectProvider<OpenTelemetry> telemetry) {
        return new Endpoints(
                        properties.endpointSettings(),
                        settings.node(),
                        clock(clock),
                        admission,
                        node,
                        dispatcher,
                        new Endpoints.Batches(registry, store, runner),
                        watch,
                        traces,
                        edge,
                        metrics,
                        telemetry.getIfAvailable(OpenTelemetry::noop).getTracer(SCOPE),
                        health::ready)
                .routes();
    }

    private static Clock clock(ObjectProvider<Clock> clock) {
        return clock.getIfAvailable(() -> Clock.SYSTEM);
    }
}
