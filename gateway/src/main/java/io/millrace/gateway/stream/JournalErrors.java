package io.millrace.gateway.stream;

import io.millrace.shared.proto.Cancel;
import io.millrace.shared.proto.Fail;
import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.Refuse;
import io.millrace.shared.proto.Reject;
import org.jspecify.annotations.Nullable;

/** Terminal journal records as errors. */
public final class JournalErrors {

    private JournalErrors() {}

    /**
     * The error that REJECT, REFUSE, FAIL or CANCEL means to the call; null for every other record.
     *
     * @param prompt index of the call's part whose journal it stands in
     */
    public static @Nullable ApiError of(JournalRecord record, Call call, int prompt) {
        return switch (record.getRecordCase()) {
            case REJECT -> rejected(record.getReject());
            case REFUSE -> refused(record.getRefuse(), call, prompt);
            case FAIL -> failed(record.getFail(), call, prompt);
            case CANCEL -> cancelled(record.getCancel());
            default -> null;
        };
    }

    private static ApiError rejected(Reject reject) {
        return ApiError.of(
                        status(reject.getStatus(), 503), code(reject.getCode(), "rejected"), null, reject.getMessage())
                .retryAfterMs(reject.getRetryAfterMs());
    }

    private static ApiError refused(Refuse refuse, Call call, int prompt) {
        return ApiError.of(
                status(refuse.getStatus(), 400),
                code(refuse.getCode(), "refused"),
                param(refuse.getParam(), call, prompt),
                refuse.getMessage());
    }

    private static ApiError failed(Fail fail, Call call, int prompt) {
        return ApiError.of(
                status(fail.getStatus(), 500),
                code(fail.getCode(), "failed"),
                param(fail.getParam(), call, prompt),
                fail.getMessage());
    }

    private static @Nullable String param(String name, Call call, int prompt) {
        return name.isEmpty() ? null : call.field(name, prompt);
    }

    private static ApiError cancelled(Cancel cancel) {
        if (cancel.getCause().startsWith("deadline")) {
            return ApiError.of(
                    504,
                    "deadline_exceeded",
                    null,
                    "The request's deadline passed before it was complete. Ask for fewer tokens, or try when load is lower.");
        }
        return ApiError.of(
                499, "cancelled", null, "The request was cancelled (" + code(cancel.getCause(), "no cause") + ").");
    }

    private static int status(int status, int otherwise) {
        return status >= 400 && status <= 599 ? status : otherwise;
    }

    private static String code(String code, String otherwise) {
        return code.isEmpty() ? otherwise : code;
    }
}
