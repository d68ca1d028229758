package io.millrace.gateway.api;

import io.millrace.gateway.auth.Caller;
import io.millrace.gateway.node.ClusterView;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.Submit;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;

/** {@code /v1/models}: what the live routers say is served. Thread-safe. */
final class Models {

    /** What a model that serves a task can be asked for. */
    private static final Map<Submit.Task, List<String>> CAPABILITIES = new EnumMap<>(Map.of(
            Submit.Task.GENERATE, List.of("chat", "completions", "responses", "messages", "structured_output"),
            Submit.Task.EMBED, List.of("embeddings"),
            Submit.Task.SCORE, List.of("rerank", "score")));

    private final ClusterView view;
    private final long startS = System.currentTimeMillis() / 1000;

    Models(ClusterView view) {
        this.view = view;
    }

    /** Those that the caller may use. */
    String list(Caller caller) {
        JsonText json =
                new JsonText().object().field("object", "list").name("data").array();
        List<String> ids = new ArrayList<>();
        for (ModelState model : view.models().values()) {
            List<String> names = new ArrayList<>(List.of(model.name()));
            names.addAll(model.aliases());
            for (String name : names) {
                if (caller.mayUse(name) || caller.mayUse(model.name())) {
                    write(json, name, model);
                    ids.add(name);
                }
            }
        }
        return json.endArray()
                .field("has_more", false)
                .field("first_id", ids.isEmpty() ? null : ids.getFirst())
                .field("last_id", ids.isEmpty() ? null : ids.getLast())
                .endObject()
                .toString();
    }

    /** Throws 404, or 403 for one that the caller may not use. */
    String one(Caller caller, String name) {
        ModelState model = view.model(name);
        if (!caller.mayUse(name) && (model == null || !caller.mayUse(model.name()))) {
            throw Caller.notForModel(name);
        }
        if (model == null) {
            throw new ApiException(
                    ApiError.of(404, "model_not_found", "model", "The model '" + name + "' is not served here."));
        }
        JsonText json = new JsonText();
        write(json, name, model);
        return json.toString();
    }

    /** OpenAI's fields, vLLM's, and those that Anthropic's clients read. */
    private void write(JsonText json, String id, ModelState model) {
        json.object()
                .field("id", id)
                .field("object", "model")
                .field("created", startS)
                .field("owned_by", "millrace")
                .field("type", "model")
                .field("display_name", id)
                .field("created_at", Instant.ofEpochSecond(startS).toString())
                .field("root", model.name())
                .nothing("parent")
                .field("max_model_len", model.maxModelLen())
                .field("context_length", model.maxModelLen())
                .field("dtype", model.dtype())
                .field("parameters", model.parameters())
                .field("workers", model.workers())
                .field("tool_format", model.toolFormat().isEmpty() ? null : model.toolFormat())
                .field("reasoning_format", model.reasoningFormat().isEmpty() ? null : model.reasoningFormat())
                .field("numerics_id", model.numericsId())
                .name("tasks")
                .array();
        model.tasks().stream().map(Models::name).sorted().forEach(json::value);
        json.endArray().name("capabilities").object();
        CAPABILITIES.forEach((task, names) -> names.forEach(name ->
                json.field(name, model.tasks().isEmpty() || model.tasks().contains(task))));
        json.endObject().endObject();
    }

    /** As people read it. */
    static String name(Submit.Task task) {
        return task.name().toLowerCase(Locale.ROOT);
    }

    static String names(List<Submit.Task> tasks) {
        return tasks.stream().map(Models::name).sorted().collect(Collectors.joining(", "));
    }
}
