package io.millrace.gateway.node;

import io.millrace.gateway.stream.ApiException;
import io.millrace.shared.error.MillraceException;
import io.millrace.shared.log.Clock;
import io.millrace.shared.log.Log;
import java.time.Duration;
import reactor.core.publisher.Flux;
import reactor.core.publisher.FluxSink;
import reactor.core.publisher.Sinks;
import reactor.core.scheduler.Schedulers;

/**
 * The cluster for those who look at it. One reader serves all of them, and reads only while somebody looks: the journals of all
 * partitions then come to this gateway. Thread-safe.
 */
public final class ClusterWatch implements AutoCloseable {

    private static final Duration LINGER = Duration.ofSeconds(2);

    private final Flux<ClusterPicture> pictures;
    private final Sinks.Empty<Void> closing = Sinks.empty();

    public ClusterWatch(Log log, ClusterView view, Clock clock) {
        this.pictures = Flux.<ClusterPicture>create(
                        sink -> {
                            var reading = new ClusterReading(log, view, clock, sink::next);
                            sink.onDispose(() -> Thread.ofVirtual().start(reading::close));
                        },
                        FluxSink.OverflowStrategy.LATEST)
                .subscribeOn(Schedulers.boundedElastic())
                .takeUntilOther(closing.asMono())
                .publish(1)
                .refCount(1, LINGER);
    }

    /** Twice a second, until this closes; who is slow misses some. Fails with {@link ApiException} 503 without Kafka. */
    public Flux<ClusterPicture> pictures() {
        return pictures.onBackpressureLatest()
                .onErrorMap(MillraceException.class, failure -> new ApiException(GatewayErrors.logUnavailable(0)));
    }

    /** Ends it for all who look, so that the server need not wait for them. */
    @Override
    public void close() {
        closing.tryEmitEmpty();
    }
}
