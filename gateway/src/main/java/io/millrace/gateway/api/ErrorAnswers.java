package io.millrace.gateway.api;

import io.millrace.gateway.edge.Dialect;
import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.SlowClientException;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import java.nio.charset.StandardCharsets;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.core.annotation.Order;
import org.springframework.core.io.buffer.DataBuffer;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpStatus;
import org.springframework.http.HttpStatusCode;
import org.springframework.http.MediaType;
import org.springframework.http.server.reactive.ServerHttpResponse;
import org.springframework.web.server.ResponseStatusException;
import org.springframework.web.server.ServerWebExchange;
import org.springframework.web.server.WebExceptionHandler;
import org.springframework.web.util.DisconnectedClientHelper;
import reactor.core.publisher.Mono;

/** Every error of every endpoint, in OpenAI's shape or, for its clients, Anthropic's; a fault of ours is logged and told as a 500 without its inside. */
@Order(-2)
public final class ErrorAnswers implements WebExceptionHandler {

    private static final Logger LOG = LoggerFactory.getLogger(ErrorAnswers.class);

    @Override
    public Mono<Void> handle(ServerWebExchange exchange, Throwable failure) {
        ServerHttpResponse response = exchange.getResponse();
        if (response.isCommitted() && failure instanceof SlowClientException) {
            // Said already, and its connection is being closed: nothing is left to answer.
            return Mono.empty();
        }
        if (response.isCommitted()) {
            return Mono.error(failure);
        }
        if (DisconnectedClientHelper.isClientDisconnectedException(failure)) {
            // Nobody reads it: what Spring would make of the failure is a 500 in the log.
            response.setStatusCode(HttpStatus.BAD_REQUEST);
            return response.setComplete();
        }
        ApiError error = error(exchange, failure);
        response.setStatusCode(HttpStatusCode.valueOf(error.status()));
        if (failure instanceof ResponseStatusException spring) {
            response.getHeaders().putAll(spring.getHeaders());
        }
        response.getHeaders().setContentType(MediaType.APPLICATION_JSON);
        retryAfter(error, response.getHeaders());
        if (error.status() == 426) {
            response.getHeaders().set("Sec-WebSocket-Version", Endpoints.SOCKET_VERSION);
        }
        if (error.status() == 401) {
            response.getHeaders().set(HttpHeaders.WWW_AUTHENTICATE, "Bearer");
        }
        String json = Dialect.of(exchange.getRequest()).json(error);
        byte[] body = json.getBytes(StandardCharsets.UTF_8);
        response.getHeaders().setContentLength(body.length);
        DataBuffer buffer = response.bufferFactory().wrap(body);
        return response.writeWith(Mono.just(buffer));
    }

    /** In whole seconds as HTTP has it, and in milliseconds as OpenAI's clients read it; of what will pass, at least a second. */
    private static void retryAfter(ApiError error, HttpHeaders headers) {
        boolean passes = error.status() == 429 || error.status() == 503;
        long waitMs = error.retryAfterMs() > 0 || !passes ? error.retryAfterMs() : 1_000;
        if (waitMs > 0) {
            headers.set(HttpHeaders.RETRY_AFTER, Long.toString((waitMs + 999) / 1000));
            headers.set("retry-after-ms", Long.toString(waitMs));
        }
    }

    private static ApiError error(ServerWebExchange exchange, Throwable failure) {
        return switch (failure) {
            case ApiException known -> known.error();
            case ResponseStatusException spring -> spring(exchange, spring);
            default -> {
                LOG.error(
                        "{} {} failed",
                        exchange.getRequest().getMethod(),
                        exchange.getRequest().getPath(),
                        failure);
                yield GatewayErrors.internal();
            }
        };
    }

    private static ApiError spring(ServerWebExchange exchange, ResponseStatusException failure) {
        int status = failure.getStatusCode().value();
        String path = exchange.getRequest().getMethod() + " "
                + exchange.getRequest().getPath().value();
        return switch (status) {
            case 404 -> notFound(path);
            case 405 ->
                ApiError.of(
                        405,
                        "method_not_allowed",
                        null,
                        "This path does not take " + exchange.getRequest().getMethod() + ".");
            default -> {
                HttpStatus known = HttpStatus.resolve(status);
                String name = known == null ? "Error " + status : known.getReasonPhrase();
                yield ApiError.of(
                        status, name.toLowerCase(java.util.Locale.ROOT).replace(' ', '_'), null, name + ".");
            }
        };
    }

    static ApiError notFound(String what) {
        return ApiError.of(404, "not_found", null, "There is nothing at " + what + ".");
    }
}
