package io.millrace.gateway.stream;

import io.millrace.shared.id.RequestId;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
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

    /** Id of a later prompt of a call: follows from the first one's, so that the first is enough to find them all. */
    public static RequestId sibling(RequestId first, int index) {
        try {
            byte[] hash = MessageDigest.getInstance("SHA-256")
                    .digest((first.text() + "/" + index).getBytes(StandardCharsets.UTF_8));
            return RequestId.of(first.partition(), Arrays.copyOf(hash, 16));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
    }

    /** The same call, to be rendered as events or in one piece. */
    public Call streamed(boolean stream) {
        List<Part> changed = new ArrayList<>();
        for (Part part : parts) {
            Submit.Builder submit = part.submit().toBuilder();
            submit.getShapeBuilder().setStream(stream);
            changed.add(new Part(part.id(), submit.build()));
        }
        return new Call(changed);
    }

    /**
     * The client's name for a field of a request, which workers call by its most usual one.
     *
     * @param prompt index of the part whose request it is
     */
    public String field(String name, int prompt) {
        boolean response = shape().getApi() == ResponseShape.Api.RESPONSES;
        return switch (name) {
            case "messages" -> response ? "input" : name;
            case "max_tokens" -> response ? "max_output_tokens" : name;
            case "n" -> shape().getBest() > 0 ? "best_of" : name;
            case "prompt" -> parts.size() > 1 ? "prompt[" + prompt + "]" : name;
            default -> name;
        };
    }

    /** The id under which the client knows the answer. */
    public String apiId() {
        return apiId(shape().getApi(), id());
    }

    /** The client's form of that id. */
    public static String apiId(ResponseShape.Api api, RequestId id) {
        return switch (api) {
                    case CHAT_COMPLETIONS, UNRECOGNIZED -> "chatcmpl-";
                    case COMPLETIONS -> "cmpl-";
                    case RESPONSES -> "resp_";
                    case EMBEDDINGS -> "embd-";
                    case RERANK -> "rerank-";
                    case SCORE -> "score-";
                    case TOKENIZE, DETOKENIZE, COUNT_TOKENS -> "tok-";
                    case MESSAGES -> "msg_";
                }
                + id.text();
    }
}
