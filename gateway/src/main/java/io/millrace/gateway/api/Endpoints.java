package io.millrace.gateway.api;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.batch.BatchRunner;
import io.millrace.gateway.batch.FileStore;
import io.millrace.gateway.batch.Registry;
import io.millrace.gateway.edge.Dialect;
import io.millrace.gateway.edge.Edge;
import io.millrace.gateway.limits.Admission;
import io.millrace.gateway.node.ClusterWatch;
import io.millrace.gateway.node.Dispatcher;
import io.millrace.gateway.node.GatewayNode;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.trace.Traces;
import io.millrace.shared.log.Clock;
import io.millrace.shared.proto.ResponseShape.Api;
import io.millrace.shared.telemetry.Telemetry;
import io.opentelemetry.api.trace.Tracer;
import io.opentelemetry.context.Context;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import org.springframework.http.HttpHeaders;
import org.springframework.http.HttpMethod;
import org.springframework.http.MediaType;
import org.springframework.web.reactive.function.server.RequestPredicates;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import org.springframework.web.reactive.socket.server.WebSocketService;
import org.springframework.web.reactive.socket.server.support.HandshakeWebSocketService;
import org.springframework.web.reactive.socket.server.upgrade.ReactorNettyRequestUpgradeStrategy;
import org.springframework.web.server.MethodNotAllowedException;
import reactor.core.publisher.Mono;
import reactor.netty.http.server.WebsocketServerSpec;

/** All paths of the gateway. */
public final class Endpoints {

    private static final String CHAT = "/v1/chat/completions";
    private static final String COMPLETIONS = "/v1/completions";
    private static final String RESPONSES = "/v1/responses";
    private static final String EMBEDDINGS = "/v1/embeddings";
    private static final List<String> RERANK = List.of("/v1/rerank", "/v2/rerank", "/rerank");
    private static final List<String> SCORE = List.of("/v1/score", "/score");
    private static final String TOKENIZE = "/tokenize";
    private static final String DETOKENIZE = "/detokenize";
    private static final String MESSAGES = Dialect.MESSAGES;
    private static final String COUNT_TOKENS = MESSAGES + "/count_tokens";
    private static final String MODELS = "/v1/models";
    private static final String FILES = "/v1/files";
    private static final String BATCHES = "/v1/batches";
    private static final String ID = "/{id}";
    private static final String CANCEL = "/{id}/cancel";
    private static final String ITEMS = "/{id}/input_items";
    private static final String HEALTH = "/health";
    static final String SOCKET_VERSION = "13";

    /**
     * Limits of what clients may send.
     *
     * @param bodyBytesMax largest body, and largest WebSocket message
     * @param bodyTimeout until the body must be complete
     * @param promptsMax most prompts of one call
     * @param messagesMax most messages of a conversation
     * @param deadline of each request, from its arrival
     * @param sseIds whether streamed events carry their place when the client does not say
     * @param socketLife longest life of a WebSocket
     * @param fileBytesMax largest upload
     */
    public record Settings(
            int bodyBytesMax,
            Duration bodyTimeout,
            int promptsMax,
            int messagesMax,
            Duration deadline,
            boolean sseIds,
            Duration socketLife,
            long fileBytesMax) {}

    /** Files and batches as the log has them, and who runs these. */
    public record Batches(Registry registry, FileStore store, BatchRunner runner) {}

    private final Json json = new Json();
    private final ResponseDrafts responses;
    private final PoolingRequests pooling = new PoolingRequests();
    private final ChatRequests chats;
    private final TokenizeRequests tokens;
    private final MessageRequests messages;
    private final CompletionRequests completions;
    private final Generation generation;
    private final HttpEndpoints http;
    private final ResumeEndpoints resumes;
    private final Models models;
    private final FileEndpoints files;
    private final BatchEndpoints batches;
    private final ConsoleEndpoints console;
    private final Edge edge;
    private final BooleanSupplier ready;
    private final WebSocketService sockets;
    private final Settings settings;
    private final SocketMessages.Earlier earlier;

    /** @param ready whether calls can be served, for {@code /health} */
    public Endpoints(
            Settings settings,
            String nodeId,
            Clock clock,
            Admission admission,
            GatewayNode node,
            Dispatcher dispatcher,
            Batches batching,
            ClusterWatch watch,
            Traces traces,
            Edge edge,
            GatewayMetrics metrics,
            Tracer tracer,
            BooleanSupplier ready) {
        this.edge = edge;
        this.ready = ready;
        this.console = new ConsoleEndpoints(watch, traces);
        this.chats = new ChatRequests(json, settings.messagesMax());
        this.tokens = new TokenizeRequests(chats);
        this.messages = new MessageRequests(json, settings.messagesMax());
        this.completions = new CompletionRequests(json, settings.promptsMax());
        var calls = new CallFactory(nodeId, clock, settings.deadline());
        this.generation = new Generation(admission, calls, node, dispatcher, metrics, tracer);
        var bodies = new Bodies(settings.bodyBytesMax(), settings.bodyTimeout());
        this.http = new HttpEndpoints(generation, bodies, json, settings.sseIds());
        var ids = new ResponseIds(node);
        this.resumes = new ResumeEndpoints(dispatcher.resumes(), ids, json, metrics, tracer, settings.sseIds());
        this.responses = new ResponseDrafts(
                new ResponseRequests(json, settings.bodyBytesMax(), settings.messagesMax()),
                new EarlierResponses(dispatcher.resumes(), ids, json, metrics, tracer));
        this.models = new Models(node.view());
        var uploads = new Uploads(batching.store(), settings.fileBytesMax(), settings.bodyTimeout());
        this.files = new FileEndpoints(batching.registry(), batching.store(), uploads, clock);
        var lines = new BatchRequests(
                Map.of(
                        CHAT, (body, tenant) -> Mono.just(chats.read(body)),
                        COMPLETIONS, (body, tenant) -> Mono.just(completions.read(body)),
                        EMBEDDINGS, (body, tenant) -> Mono.just(pooling.embeddings(body)),
                        RESPONSES, responses::read),
                generation,
                json);
        this.batches =
                new BatchEndpoints(batching.registry(), batching.store(), lines.endpoints(), bodies, json, clock);
        batching.runner().start(lines);
        this.settings = settings;
        this.earlier = new SocketMessages.Earlier(dispatcher.resumes(), ids, metrics, tracer);
        // Netty ends a connection beyond its limit with 1002: ours, below it, says 1009.
        this.sockets = new HandshakeWebSocketService(new ReactorNettyRequestUpgradeStrategy(
                () -> WebsocketServerSpec.builder().maxFramePayloadLength(2 * settings.bodyBytesMax())));
    }

    /** The routes; they are tried in this order, so those that are called most come first. */
    public RouterFunction<ServerResponse> routes() {
        RouterFunctions.Builder routes = RouterFunctions.route()
                .POST(CHAT, request -> http.generate(request, CHAT, chats::read))
                .POST(COMPLETIONS, request -> http.generate(request, COMPLETIONS, completions::read))
                .POST(RESPONSES, request -> http.generate(request, RESPONSES, responses::read))
                .GET(RESPONSES, Endpoints::isSocket, this::socket)
                .add(resumed())
                .add(batched())
                .add(new ApiDocument().routes())
                .add(console.routes())
                .GET(MODELS, request -> authorised(request, models::list))
                .GET(
                        MODELS + "/{*name}",
                        request -> authorised(
                                request,
                                caller -> models.one(
                                        caller, request.pathVariable("name").substring(1))))
                .GET(HEALTH, request -> health())
                .route(RequestPredicates.path(CHAT), request -> notAllowed(request, HttpMethod.POST))
                .route(RequestPredicates.path(COMPLETIONS), request -> notAllowed(request, HttpMethod.POST))
                .route(RequestPredicates.path(RESPONSES), request -> notAllowed(request, HttpMethod.POST))
                .route(RequestPredicates.path(MODELS), request -> notAllowed(request, HttpMethod.GET));
        post(routes, EMBEDDINGS, pooling::embeddings);
        RERANK.forEach(path -> post(routes, path, pooling::rerank));
        SCORE.forEach(path -> post(routes, path, pooling::score));
        post(routes, TOKENIZE, tokens::tokenize);
        post(routes, DETOKENIZE, tokens::detokenize);
        post(routes, MESSAGES, messages::read);
        post(routes, COUNT_TOKENS, messages::count);
        return routes.build();
    }

    private void post(RouterFunctions.Builder routes, String path, Function<Json.Body, Draft> read) {
        routes.POST(path, request -> http.generate(request, path, read))
                .route(RequestPredicates.path(path), request -> notAllowed(request, HttpMethod.POST));
    }

    private RouterFunction<ServerResponse> batched() {
        return RouterFunctions.route()
                .POST(FILES, files::create)
                .GET(FILES, files::list)
                .GET(FILES + ID, files::retrieve)
                .GET(FILES + "/{id}/content", files::content)
                .DELETE(FILES + ID, files::delete)
                .POST(BATCHES, batches::create)
                .GET(BATCHES, batches::list)
                .GET(BATCHES + ID, batches::retrieve)
                .POST(BATCHES + CANCEL, batches::cancel)
                .build();
    }

    private RouterFunction<ServerResponse> resumed() {
        return RouterFunctions.route()
                .GET(RESPONSES + ID, request -> resumes.response(request, RESPONSES + ID))
                .DELETE(RESPONSES + ID, request -> resumes.delete(request, RESPONSES + ID))
                .POST(RESPONSES + CANCEL, request -> resumes.cancel(request, RESPONSES + CANCEL))
                .GET(RESPONSES + ITEMS, request -> resumes.inputItems(request, RESPONSES + ITEMS))
                .GET(CHAT + ID, request -> resumes.completion(request, CHAT + ID, Api.CHAT_COMPLETIONS))
                .GET(MESSAGES + ID, request -> resumes.completion(request, MESSAGES + ID, Api.MESSAGES))
                .POST(CHAT + CANCEL, request -> resumes.cancelCompletion(request, CHAT + CANCEL))
                .GET(COMPLETIONS + ID, request -> resumes.completion(request, COMPLETIONS + ID, Api.COMPLETIONS))
                .build();
    }

    private Mono<ServerResponse> authorised(ServerRequest request, Function<Caller, String> document) {
        return ServerResponse.ok()
                .contentType(MediaType.APPLICATION_JSON)
                .bodyValue(document.apply(Edge.caller(request.exchange())));
    }

    private Mono<ServerResponse> health() {
        boolean up = ready.getAsBoolean();
        return ServerResponse.status(up ? 200 : 503)
                .contentType(MediaType.APPLICATION_JSON)
                .bodyValue(up ? "{\"status\":\"UP\"}" : "{\"status\":\"DOWN\"}");
    }

    private static boolean isSocket(ServerRequest request) {
        return "websocket".equalsIgnoreCase(request.headers().firstHeader(HttpHeaders.UPGRADE));
    }

    /** Shakes hands after the key was checked; the connection is the socket's from then on. */
    private Mono<ServerResponse> socket(ServerRequest request) {
        if (!SOCKET_VERSION.equals(request.headers().firstHeader("Sec-WebSocket-Version"))) {
            throw new ApiException(ApiError.of(
                    426,
                    "websocket_version",
                    null,
                    "This server speaks version " + SOCKET_VERSION + " of the WebSocket protocol (RFC 6455) alone."));
        }
        Context parent = Telemetry.fromHeaders(
                request.headers().firstHeader("traceparent"), request.headers().firstHeader("tracestate"));
        var messages = new SocketMessages(
                generation,
                responses,
                earlier,
                json,
                edge.still(request.exchange()),
                parent,
                settings.bodyBytesMax(),
                () -> HttpAnswers.closeConnection(request));
        return sockets.handleRequest(
                        request.exchange(),
                        new ResponsesSocket(
                                messages,
                                settings.bodyBytesMax(),
                                settings.socketLife(),
                                () -> HttpAnswers.endQuietly(request)))
                .then(Mono.empty());
    }

    private static Mono<ServerResponse> notAllowed(ServerRequest request, HttpMethod allowed) {
        return Mono.error(new MethodNotAllowedException(request.method(), List.of(allowed)));
    }
}
