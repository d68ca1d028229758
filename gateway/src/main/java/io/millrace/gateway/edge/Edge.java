package io.millrace.gateway.edge;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.auth.Keyring;
import io.millrace.gateway.limits.Admission;
import io.millrace.gateway.stream.ApiException;
import java.time.Instant;
import java.util.List;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.web.server.context.WebServerApplicationContext;
import org.springframework.core.Ordered;
import org.springframework.core.codec.DecodingException;
import org.springframework.core.io.buffer.DataBufferLimitException;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.server.reactive.ServerHttpRequest;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.ServerWebInputException;
import org.springframework.web.server.WebFilter;
import org.springframework.web.server.WebFilterChain;
import org.springframework.web.util.DisconnectedClientHelper;
import reactor.core.publisher.Mono;

/**
 * Lets requests in: looks at their origin, finds out by their key whose they are, and gives every answer its headers. Every path needs
 * a key, where there are keys, but those that say whether the server lives and what it is, and health and metrics on a port of their
 * own. Thread-safe.
 */
public final class Edge implements WebFilter, Ordered {

    private static final String CALLER = Edge.class.getName() + ".caller";
    private static final List<String> OPEN =
            List.of("/health", "/actuator/health", "/actuator/info", "/openapi.json", "/docs", "/", "/console");

    /** Reactor asks the context under this name who hears of errors that nobody waits for any more. */
    private static final String DROPPED = "reactor.onErrorDropped.local";

    private static final Logger LOG = LoggerFactory.getLogger(Edge.class);

    private final Keyring keys;
    private final Admission admission;
    private final CrossOrigin origins;
    private final IntConsumer refused;

    /**
     * @param origins of pages that may call this server beside its own
     * @param refused hears the status of requests that were not let in
     */
    public Edge(Keyring keys, Admission admission, List<String> origins, IntConsumer refused) {
        this.keys = keys;
        this.admission = admission;
        this.origins = new CrossOrigin(origins);
        this.refused = refused;
    }

    /** Whose request it is; for handlers behind this filter. */
    public static Caller caller(ServerWebExchange exchange) {
        return Objects.requireNonNull(exchange.getAttribute(CALLER), "the path is open, so it has no caller");
    }

    /** Asks again whose a connection is that goes on for long: throws 401 once its key is gone. */
    public Supplier<Caller> still(ServerWebExchange exchange) {
        String key = Credentials.key(exchange.getRequest().getHeaders());
        return () -> keys.of(key);
    }

    /** What a client's going, or a body that cannot be read, brings after the request has ended already, is no fault of ours. */
    private static void dropped(Throwable late) {
        boolean theirs = late instanceof ApiException
                || late instanceof DecodingException
                || late instanceof DataBufferLimitException
                || late instanceof ServerWebInputException
                || DisconnectedClientHelper.isClientDisconnectedException(late);
        if (theirs) {
            LOG.debug("after the end of a request: {}", late.getClass().getName());
        } else {
            LOG.error("an error that came after the end of its request", late);
        }
    }

    @Override
    public int getOrder() {
        return Ordered.HIGHEST_PRECEDENCE + 100;
    }

    private static boolean open(ServerWebExchange exchange, String path) {
        return OPEN.stream().anyMatch(open -> path.equals(open) || path.startsWith(open + "/"))
                || (path.startsWith("/actuator/")
                        && WebServerApplicationContext.hasServerNamespace(
                                exchange.getApplicationContext(), "management"));
    }

    @Override
    public Mono<Void> filter(ServerWebExchange exchange, WebFilterChain chain) {
        ServerHttpRequest request = exchange.getRequest();
        ServerHttpResponse response = exchange.getResponse();
        Dialect dialect = Dialect.of(request);
        long startNanos = System.nanoTime();
        String given = AnswerHeaders.given(request);
        response.beforeCommit(() -> Mono.fromRunnable(() -> {
            HttpHeaders headers = response.getHeaders();
            AnswerHeaders.id(headers, given, dialect);
            AnswerHeaders.time(headers, System.nanoTime() - startNanos, dialect);
            @Nullable Caller caller = exchange.getAttribute(CALLER);
            if (caller != null && request.getMethod() == HttpMethod.POST) {
                AnswerHeaders.rates(headers, admission.rates(caller.account()), dialect, Instant.now());
            }
        }));
        try {
            if (origins.answers(request, response)) {
                return response.setComplete();
            }
            String path = request.getPath().value();
            if (!open(exchange, path)) {
                Caller caller = keys.of(Credentials.key(request.getHeaders()));
                caller.checkPath(path);
                exchange.getAttributes().put(CALLER, caller);
            }
        } catch (ApiException no) {
            refused.accept(no.error().status());
            return Mono.error(no);
        }
        return chain.filter(exchange.mutate().request(Refusals.whole(request)).build())
                .contextWrite(context -> context.put(DROPPED, (Consumer<Throwable>) Edge::dropped));
    }
}
