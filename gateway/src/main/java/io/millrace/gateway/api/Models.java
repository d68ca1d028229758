package io.millrace.gateway.api;

import io.millrace.gateway.node.ClusterView;
import io.millrace.gateway.node.ModelState;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.Submit;
import java.util.List;
import java.util.Locale;
import java.util.stream.Collectors;

/** {@code /v1/models}: what the live routers say is served. Thread-safe. */
final class Models {

    private final ClusterView view;
    private final long startS = System.currentTimeMillis() / 1000;

    Models(ClusterView view) {
        this.view = view;
    }

    String list() {
        JsonText json =
                new JsonText().object().field("object", "list").name("data").array();
        for (ModelState model : view.models().values()) {
            write(json, model.name(), model);
            for (String alias : model.aliases()) {
                write(json, alias, model);
            }
        }
        return json.endArray().endObject().toString();
    }

    /** Throws 404. */
    String one(String name) {
        ModelState model = view.model(name);
        if (model == null) {
            throw new ApiException(
                    ApiError.of(404, "model_not_found", "model", "The model '" + name + "' is not served here."));
        }
        JsonText json = new JsonText();
        write(json, name, model);
        return json.toString();
    }

    private void write(JsonText json, String id, ModelState model) {
        json.object()
                .field("id", id)
                .field("object", "model")
                .field("created", startS)
                .field("owned_by", "millrace")
                .field("root", model.name())
                .nothing("parent")
                .field("max_model_len", model.maxModelLen())
                .field("dtype", model.dtype())
                .field("parameters", model.parameters())
                .field("workers", model.workers())
                .field("tool_format", model.toolFormat().isEmpty() ? null : model.toolFormat())
                .field("reasoning_format", model.reasoningFormat().isEmpty() ? null : model.reasoningFormat())
                .name("tasks")
                .array();
        model.tasks().stream().map(Models::name).sorted().forEach(json::value);
        json.endArray().endObject();
    }

    /** As people read it. */
    static String name(Submit.Task task) {
        return task.name().toLowerCase(Locale.ROOT);
    }

    static String names(List<Submit.Task> tasks) {
        return tasks.stream().map(Models::name).sorted().collect(Collectors.joining(", "));
    }
}
