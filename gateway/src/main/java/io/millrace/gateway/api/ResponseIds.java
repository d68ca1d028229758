package io.millrace.gateway.api;

import io.millrace.gateway.node.GatewayErrors;
import io.millrace.gateway.node.GatewayNode;
import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.Call;
import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ResponseShape.Api;

/** Reads the ids by which clients name answers. Thread-safe. */
final class ResponseIds {

    private final GatewayNode node;

    ResponseIds(GatewayNode node) {
        this.node = node;
    }

    /** The request of that client's id; throws 400 for what can be none, 404 for one of no partition, 503 without Kafka. */
    RequestId parse(String text, Api api) {
        RequestId id;
        try {
            id = RequestId.parse(text);
        } catch (IllegalArgumentException e) {
            id = null;
        }
        if (id == null || !text.equals(Call.apiId(api, id))) {
            throw new ApiException(ApiError.of(
                    400,
                    "invalid_id",
                    "id",
                    "'" + (text.length() > 80 ? text.substring(0, 80) + "…" : text)
                            + "' is no id of this kind; take it from the answer or its first event."));
        }
        int partitions = node.partitions();
        if (partitions == 0) {
            throw new ApiException(GatewayErrors.logUnavailable(0));
        }
        if (id.partition() >= partitions) {
            throw new ApiException(GatewayErrors.noSuchAnswer(text));
        }
        return id;
    }
}
