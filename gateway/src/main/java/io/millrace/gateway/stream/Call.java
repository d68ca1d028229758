package io.millrace.gateway.stream;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import java.util.List;

/**
 * One API call: a request for each prompt, all in one partition, so that the log orders their records.
 *
 * @param parts at least one; a batch of prompts has several, alike but for the input
 */
public record Call(List<Part> parts) {

    /** One request, with its journal. */
    public record Part(RequestId id, Submit submit) {}

    public Call {
        parts = List.copyOf(parts);
        if (parts.isEmpty()) {
            throw new IllegalArgumentException("a call has at least one prompt");
        }
    }

    public Submit first() {
        return parts.getFirst().submit();
    }

    public RequestId id() {
        return parts.getFirst().id();
    }

    public ResponseShape shape() {
        return first().getShape();
    }

    /** Choices of each prompt. */
    public int n() {
        return Math.max(1, first().getN());
    }

    public int partition() {
        return id().partition();
    }

    /** The id under which the client knows the answer. */
    public String apiId() {
        return switch (shape().getApi()) {
                    case CHAT_COMPLETIONS, UNRECOGNIZED -> "chatcmpl-";
                    case COMPLETIONS -> "cmpl-";
                    case RESPONSES -> "resp_";
                    case EMBEDDINGS -> "embd-";
                    case RERANK -> "rerank-";
                    case SCORE -> "score-";
                }
                + id().text();
    }
}
