package io.millrace.gateway.node;

import io.millrace.gateway.stream.ApiError;
import io.millrace.shared.proto.Submit;

/** Errors that this gateway finds by itself. */
public final class GatewayErrors {

    private GatewayErrors() {}

    public static ApiError logUnavailable(long waitedMs) {
        return ApiError.of(
                        503,
                        "log_unavailable",
                        null,
                        "[MR-GW-001] Kafka did not confirm the request within %,d ms. Nothing was answered; try again."
                                .formatted(waitedMs))
                .retryAfterMs(2_000);
    }

    public static ApiError noRouter() {
        return ApiError.of(
                        503,
                        "no_router",
                        null,
                        "[MR-GW-002] No router is alive, so nobody would take the request. Try again, or start a router.")
                .retryAfterMs(2_000);
    }

    static ApiError deadline(Submit submit) {
        return ApiError.of(
                504,
                "deadline_exceeded",
                null,
                "[MR-GW-003] The request was not complete within its deadline of %,d ms."
                        .formatted(submit.getDeadlineMs() - submit.getCreatedMs()));
    }

    static ApiError journalLost() {
        return ApiError.of(
                500,
                "journal_lost",
                null,
                "[MR-GW-004] The log dropped records of this answer before they were read; raise its retention.");
    }

    /** Nothing of that id is this tenant's. */
    public static ApiError noSuchAnswer(String id) {
        return ApiError.of(
                404,
                "not_found",
                null,
                "Nothing with the id '" + id
                        + "' is known here: it was never made, was deleted, or is no longer kept.");
    }

    static ApiError notLocated(long waitedMs) {
        return ApiError.of(
                        503,
                        "log_unavailable",
                        null,
                        "[MR-GW-021] No router said within %,d ms where that answer is. Try again.".formatted(waitedMs))
                .retryAfterMs(1_000);
    }

    static ApiError tooManyResumes() {
        return ApiError.of(
                        503,
                        "too_many_resumes",
                        null,
                        "[MR-GW-022] Too many answers are read from the log at this moment. Try again, or raise"
                                + " millrace.gateway.scans-waiting-max.")
                .retryAfterMs(1_000);
    }

    static ApiError gone() {
        return ApiError.of(
                410,
                "no_longer_kept",
                null,
                "[MR-GW-023] The log no longer keeps the events of this answer; the retention of the topic 'responses' is over.");
    }

    static ApiError otherBody() {
        return ApiError.of(
                422,
                "idempotency_key_reused",
                "Idempotency-Key",
                "[MR-GW-024] This Idempotency-Key was sent before with another body. Send the same body, or a new key.");
    }

    public static ApiError internal() {
        return ApiError.of(
                500, "internal_error", null, "[MR-GW-099] The gateway failed on this request; its log says why.");
    }

    static ApiError shuttingDown() {
        return ApiError.of(503, "shutting_down", null, "[MR-GW-005] This gateway is stopping; try again.")
                .retryAfterMs(1_000);
    }
}
