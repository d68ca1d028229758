package io.millrace.standalone.parts;

import io.millrace.shared.error.MillraceException;
import io.millrace.worker.engine.Engine;
import io.millrace.worker.engine.ProfiledStep;
import io.millrace.worker.journal.HostedModel;
import io.millrace.worker.profile.ChromeTrace;
import io.millrace.worker.profile.Roofline;
import java.time.Duration;
import java.util.List;
import java.util.function.Supplier;
import org.springframework.http.MediaType;
import org.springframework.web.reactive.function.server.RouterFunction;
import org.springframework.web.reactive.function.server.RouterFunctions;
import org.springframework.web.reactive.function.server.ServerRequest;
import org.springframework.web.reactive.function.server.ServerResponse;
import reactor.core.Disposable;
import reactor.core.publisher.Mono;
import reactor.core.scheduler.Schedulers;
import tools.jackson.databind.json.JsonMapper;

/** {@code POST /debug/profile} of a worker's web port; refused unless {@code millrace.worker.debug-endpoints} allows it. */
final class DebugEndpoints {

    private static final int STEPS_MAX = 1_000;
    private static final int SECONDS_MAX = 300;

    private final boolean allowed;
    private final Supplier<List<HostedModel>> models;

    DebugEndpoints(boolean allowed, Supplier<List<HostedModel>> models) {
        this.allowed = allowed;
        this.models = models;
    }

    RouterFunction<ServerResponse> routes() {
        return RouterFunctions.route()
                .POST(
                        "/debug/profile",
                        request -> Mono.defer(() -> profile(request))
                                .onErrorResume(MillraceException.class, DebugEndpoints::refused))
                .build();
    }

    private Mono<ServerResponse> profile(ServerRequest request) {
        if (!allowed) {
            throw new MillraceException(
                    "MR-PROF-001",
                    "Debug endpoints are off. Start the worker with --set millrace.worker.debug-endpoints=true, and keep its"
                            + " port from strangers.");
        }
        int steps = number(request, "steps", 20, STEPS_MAX);
        int seconds = number(request, "seconds", 30, SECONDS_MAX);
        HostedModel model = model(request.queryParam("model").orElse(""));
        Engine engine = model.engine();
        // With too few steps in the time, what there is.
        Disposable ending = Mono.delay(Duration.ofSeconds(seconds))
                .then(Mono.fromFuture(() -> engine.profile(0)))
                .subscribe();
        Mono<List<ProfiledStep>> recorded =
                Mono.fromFuture(engine.profile(steps)).doFinally(signal -> ending.dispose());
        return recorded.publishOn(Schedulers.boundedElastic())
                .map(all -> new ChromeTrace(roofline()).write(model.name(), all))
                .flatMap(text -> ServerResponse.ok()
                        .contentType(MediaType.APPLICATION_JSON)
                        .header("Content-Disposition", "attachment; filename=\"millrace-profile.json\"")
                        .bodyValue(text));
    }

    private static Roofline roofline() {
        try {
            return Roofline.measure(Runtime.getRuntime().availableProcessors());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
    }

    private HostedModel model(String name) {
        List<HostedModel> all = models.get();
        return all.stream()
                .filter(each -> name.isEmpty() || each.name().equals(name))
                .findFirst()
                .orElseThrow(() -> new MillraceException(
                        "MR-PROF-003",
                        name.isEmpty()
                                ? "No worker of this process is ready yet."
                                : "No worker of this process serves '" + name + "', but "
                                        + String.join(
                                                ", ",
                                                all.stream()
                                                        .map(HostedModel::name)
                                                        .toList())
                                        + "."));
    }

    private static int number(ServerRequest request, String name, int usual, int most) {
        String text = request.queryParam(name).orElse(Integer.toString(usual));
        try {
            int value = Integer.parseInt(text);
            if (value >= 1 && value <= most) {
                return value;
            }
        } catch (NumberFormatException e) {
            // Said below.
        }
        throw new MillraceException(
                "MR-PROF-004", "'" + name + "' is " + text + "; it must be a number from 1 to " + most + ".");
    }

    private static Mono<ServerResponse> refused(MillraceException error) {
        int status = switch (error.code()) {
            case "MR-PROF-001" -> 403;
            case "MR-PROF-002" -> 409;
            case "MR-PROF-003" -> 404;
            case "MR-PROF-005" -> 501;
            default -> 400;
        };
        var body = new JsonMapper().createObjectNode();
        body.putObject("error").put("code", error.code()).put("message", error.toString());
        return ServerResponse.status(status)
                .contentType(MediaType.APPLICATION_JSON)
                .bodyValue(body.toString());
    }
}
