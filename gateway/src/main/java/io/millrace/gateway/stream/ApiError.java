package io.millrace.gateway.stream;

import org.jspecify.annotations.Nullable;

/**
 * An error as the client sees it, in OpenAI's shape.
 *
 * @param status HTTP status, 400..599
 * @param type {@code invalid_request_error}, {@code rate_limit_error}, {@code server_error}, ...
 * @param param request field that is wrong
 * @param code stable, for programs
 * @param message for people: what is wrong, with numbers, and what to do
 * @param retryAfterMs milliseconds after which the same request may succeed; 0: unknown
 */
public record ApiError(
        int status, String type, @Nullable String param, String code, String message, long retryAfterMs) {

    public static ApiError of(int status, String code, @Nullable String param, String message) {
        return new ApiError(status, typeOf(status), param, code, message, 0);
    }

    /** A field of the body is wrong: 400. */
    public static ApiError invalid(@Nullable String param, String message) {
        return of(400, "invalid_value", param, message);
    }

    public ApiError retryAfterMs(long milliseconds) {
        return new ApiError(status, type, param, code, message, milliseconds);
    }

    /** {@code {"error":{"message","type","param","code"}}}. */
    public String json() {
        return new JsonText().object().name("error").raw(inner()).endObject().toString();
    }

    /** {@code {"message","type","param","code"}}. */
    public String inner() {
        return new JsonText()
                .object()
                .field("message", message)
                .field("type", type)
                .field("param", param)
                .field("code", code)
                .endObject()
                .toString();
    }

    /** Anthropic's shape: {@code {"type":"error","error":{"type","message"}}}. */
    public String anthropic() {
        return new JsonText()
                .object()
                .field("type", "error")
                .name("error")
                .object()
                .field("type", anthropicType())
                .field("message", message)
                .endObject()
                .endObject()
                .toString();
    }

    private String anthropicType() {
        return switch (status) {
            case 401 -> "authentication_error";
            case 403 -> "permission_error";
            case 404 -> "not_found_error";
            case 413 -> "request_too_large";
            case 429 -> "rate_limit_error";
            case 503 -> "overloaded_error";
            case 504 -> "timeout_error";
            default -> status >= 500 ? "api_error" : "invalid_request_error";
        };
    }

    private static String typeOf(int status) {
        return switch (status) {
            case 401 -> "authentication_error";
            case 403 -> "permission_error";
            case 429 -> "rate_limit_error";
            default -> status >= 500 ? "server_error" : "invalid_request_error";
        };
    }
}
