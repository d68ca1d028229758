package io.millrace.gateway.config;

import io.millrace.gateway.api.Endpoints;
import io.millrace.gateway.limits.TenantLimits;
import io.millrace.gateway.node.NodeSettings;
import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.bind.DefaultValue;
import org.springframework.util.unit.DataSize;

/**
 * Settings of the gateway. Its address is {@code server.port} and {@code server.address}; an unknown name is refused.
 *
 * @param node id of this gateway, unique in the cluster; empty: a random one
 * @param apiKeys API key to tenant; with none, and no file of keys, no key is asked for, and everybody is the tenant {@code default}
 * @param keysFile file of API keys that {@code millrace keys} makes; it need not be there yet, and changes are seen within a second
 * @param corsOrigins origins of web pages that may call this gateway beside its own, as {@code https://*.example.org}; {@code *}: all
 * @param jaeger address of a Jaeger's query API, as {@code http://127.0.0.1:16686}, that the console's waterfalls are drawn from; empty: from the
 *     journal
 * @param deadline of each request, from its arrival; at most 30 min
 * @param bodyMax largest request body or WebSocket message; at most 8 MiB, since a log record must hold it
 * @param bodyTimeout until a request's body must be complete
 * @param promptsMax most prompts in one text completion
 * @param messagesMax most messages in one conversation, those of earlier responses included
 * @param appendTimeout after which a request that Kafka did not confirm is answered with 503
 * @param openAfter without a token, a stream is opened with 200 and heartbeats, and errors come inside it
 * @param heartbeat silence in an open stream after which a comment is sent
 * @param deadlineGrace beyond its deadline, until the gateway answers 504 by itself
 * @param lagMax most bytes that wait for one slow client before its connection is cut
 * @param sseIds whether streamed events carry an {@code id:} line with their place in the journal, by which a stream is resumed,
 *     when the client's header {@code X-Millrace-Event-Ids} does not say
 * @param socketLife longest life of a WebSocket
 * @param fileMax largest upload to {@code /v1/files}
 * @param batchLinesMax most requests of a batch
 * @param batchConcurrent most requests of a batch that are under way at a time; 0: this gateway runs no batches
 * @param scans most readers at a time that bring clients what was written before they came; each has a Kafka consumer
 * @param scansWaitingMax most scans that wait for one of those readers; beyond them 503
 * @param beat between this gateway's beats
 * @param memberTimeout silence after which a router or gateway counts as gone
 * @param kafkaSilence silence of Kafka after which requests are refused at once and readiness is down
 * @param tenantRequestsPerMinute requests that each tenant may begin in a minute; 0: no limit
 * @param tenantTokensPerMinute tokens, prompt and output, that each tenant may use in a minute; 0: no limit
 * @param tenantConcurrent requests that each tenant may have at one time; 0: no limit
 */
@ConfigurationProperties(prefix = "millrace.gateway", ignoreUnknownFields = false)
public record GatewayProperties(
        @DefaultValue("") String node,
        @DefaultValue Map<String, String> apiKeys,
        @DefaultValue("") String keysFile,
        @DefaultValue List<String> corsOrigins,
        @DefaultValue("") String jaeger,
        @DefaultValue("600s") Duration deadline,
        @DefaultValue("8MB") DataSize bodyMax,
        @DefaultValue("60s") Duration bodyTimeout,
        @DefaultValue("256") int promptsMax,
        @DefaultValue("10000") int messagesMax,
        @DefaultValue("10s") Duration appendTimeout,
        @DefaultValue("15s") Duration openAfter,
        @DefaultValue("10s") Duration heartbeat,
        @DefaultValue("5s") Duration deadlineGrace,
        @DefaultValue("4MB") DataSize lagMax,
        @DefaultValue("false") boolean sseIds,
        @DefaultValue("60m") Duration socketLife,
        @DefaultValue("200MB") DataSize fileMax,
        @DefaultValue("50000") int batchLinesMax,
        @DefaultValue("64") int batchConcurrent,
        @DefaultValue("4") int scans,
        @DefaultValue("1024") int scansWaitingMax,
        @DefaultValue("200ms") Duration beat,
        @DefaultValue("2s") Duration memberTimeout,
        @DefaultValue("10s") Duration kafkaSilence,
        @DefaultValue("0") int tenantRequestsPerMinute,
        @DefaultValue("0") int tenantTokensPerMinute,
        @DefaultValue("0") int tenantConcurrent) {

    private static final DataSize BODY_MAX = DataSize.ofMegabytes(8);
    private static final Duration DEADLINE_MAX = Duration.ofMinutes(30);

    /** Throws IllegalArgumentException for values outside their ranges. */
    public GatewayProperties {
        if (bodyMax.toBytes() < 1024 || bodyMax.compareTo(BODY_MAX) > 0) {
            throw new IllegalArgumentException(
                    "millrace.gateway.body-max must lie between 1 KB and 8 MB, not " + bodyMax);
        }
        if (deadline.isNegative() || deadline.isZero() || deadline.compareTo(DEADLINE_MAX) > 0) {
            throw new IllegalArgumentException(
                    "millrace.gateway.deadline must lie between 1 ms and 30 min, not " + deadline);
        }
        if (scans < 1 || scans > 64 || scansWaitingMax < 1) {
            throw new IllegalArgumentException(
                    "millrace.gateway: scans must lie between 1 and 64, scans-waiting-max be at least 1");
        }
        if (fileMax.toBytes() < 1024 || batchLinesMax < 1 || batchConcurrent < 0) {
            throw new IllegalArgumentException(
                    "millrace.gateway: file-max must be at least 1 KB, batch-lines-max 1, batch-concurrent 0");
        }
        if (promptsMax < 1 || messagesMax < 1 || lagMax.toBytes() < 1024 || beat.toMillis() < 10) {
            throw new IllegalArgumentException(
                    "millrace.gateway: prompts-max and messages-max must be at least 1, lag-max 1 KB, beat 10 ms");
        }
    }

    /** Null where no Jaeger is named; throws IllegalArgumentException for what is no address. */
    @Nullable
    URI jaegerAddress() {
        if (jaeger.isEmpty()) {
            return null;
        }
        URI address = URI.create(jaeger);
        if (address.getHost() == null || !List.of("http", "https").contains(address.getScheme())) {
            throw new IllegalArgumentException(
                    "millrace.gateway.jaeger must be an address as http://127.0.0.1:16686, not '" + jaeger + "'");
        }
        return address;
    }

    NodeSettings nodeSettings(String nodeId) {
        return new NodeSettings(nodeId, beat, memberTimeout, appendTimeout, openAfter, heartbeat, deadlineGrace, (int)
                lagMax.toBytes());
    }

    Endpoints.Settings endpointSettings() {
        return new Endpoints.Settings(
                (int) bodyMax.toBytes(),
                bodyTimeout,
                promptsMax,
                messagesMax,
                deadline,
                sseIds,
                socketLife,
                fileMax.toBytes());
    }

    TenantLimits tenantLimits() {
        return new TenantLimits(tenantRequestsPerMinute, tenantTokensPerMinute, tenantConcurrent);
    }
}
