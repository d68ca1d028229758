package io.millrace.gateway.api;

import io.millrace.gateway.batch.Registry;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.BatchError;
import io.millrace.shared.proto.BatchInfo;
import io.millrace.shared.proto.BatchState;
import io.millrace.shared.proto.BatchState.Status;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** OpenAI's {@code batch} object. */
final class BatchObject {

    private BatchObject() {}

    static String status(Registry.Batch batch) {
        return !batch.ended() && batch.cancelMs() > 0
                ? "cancelling"
                : batch.state().getStatus().name().toLowerCase(Locale.ROOT);
    }

    static String json(Registry.Batch batch) {
        BatchInfo info = batch.info();
        BatchState state = batch.state();
        JsonText json = new JsonText()
                .object()
                .field("id", info.getId())
                .field("object", "batch")
                .field("endpoint", info.getEndpoint())
                .field("model", state.getModel().isEmpty() ? null : state.getModel());
        errors(json, state);
        json.field("input_file_id", info.getInputFile())
                .field("completion_window", info.getCompletionWindow())
                .field("status", status(batch))
                .field("output_file_id", batch.ended() && state.getHasOutput() ? info.getOutputFile() : null)
                .field("error_file_id", batch.ended() && state.getHasErrors() ? info.getErrorFile() : null)
                .field("created_at", info.getCreatedMs() / 1000)
                .field("expires_at", info.getExpiresMs() / 1000);
        time(json, "in_progress_at", state.getInProgressMs());
        time(json, "finalizing_at", state.getFinalizingMs());
        ended(json, "completed_at", Status.COMPLETED, state);
        ended(json, "failed_at", Status.FAILED, state);
        ended(json, "expired_at", Status.EXPIRED, state);
        time(json, "cancelling_at", batch.cancelMs());
        ended(json, "cancelled_at", Status.CANCELLED, state);
        json.name("request_counts")
                .object()
                .field("total", state.getTotal())
                .field("completed", state.getCompleted())
                .field("failed", state.getFailed())
                .endObject();
        json.name("metadata").raw(info.getMetadataJson().isEmpty() ? "null" : info.getMetadataJson());
        return json.endObject().toString();
    }

    private static void errors(JsonText json, BatchState state) {
        if (state.getErrorsCount() == 0) {
            json.nothing("errors");
            return;
        }
        json.name("errors").object().field("object", "list").name("data").array();
        for (BatchError error : state.getErrorsList()) {
            json.object().field("code", error.getCode()).field("message", error.getMessage());
            json.field("param", nullIfEmpty(error.getParam()));
            if (error.getLine() == 0) {
                json.nothing("line");
            } else {
                json.field("line", error.getLine());
            }
            json.endObject();
        }
        json.endArray().endObject();
    }

    private static @Nullable String nullIfEmpty(String text) {
        return text.isEmpty() ? null : text;
    }

    private static void ended(JsonText json, String name, Status status, BatchState state) {
        time(json, name, state.getStatus() == status ? state.getEndedMs() : 0);
    }

    private static void time(JsonText json, String name, long ms) {
        if (ms == 0) {
            json.nothing(name);
        } else {
            json.field(name, ms / 1000);
        }
    }
}
