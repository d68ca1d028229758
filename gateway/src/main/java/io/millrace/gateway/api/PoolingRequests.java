package io.millrace.gateway.api;

import io.millrace.shared.proto.PoolingInput;
import io.millrace.shared.proto.PoolingPair;
import io.millrace.shared.proto.PoolingText;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Bodies of {@code /v1/embeddings} (OpenAI's), {@code /v1/rerank} (Jina's and Cohere's) and {@code /v1/score} (vLLM's). */
final class PoolingRequests {

    private static final int INPUTS_MAX = 2048;
    private static final int DIMENSIONS_MAX = 1 << 20;

    Draft embeddings(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        PoolingInput.Builder pooling = PoolingInput.newBuilder().addAllInputs(inputs(body));
        body.integer("dimensions", 1, DIMENSIONS_MAX).ifPresent(pooling::setDimensions);
        String format = body.string("encoding_format");
        if (format != null && !format.equals("float") && !format.equals("base64")) {
            throw body.invalid("encoding_format", "'encoding_format' must be float or base64, not '" + format + "'.");
        }
        ResponseShape.Builder shape =
                ResponseShape.newBuilder().setApi(ResponseShape.Api.EMBEDDINGS).setBase64("base64".equals(format));
        return draft(body, model, Submit.Task.EMBED, pooling, shape);
    }

    Draft rerank(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        JsonNode query = required(body, "query");
        JsonNode documents = required(body, "documents");
        if (!documents.isArray()) {
            throw body.wrong("documents", "a list of strings", documents);
        }
        PoolingInput.Builder pooling = PoolingInput.newBuilder().addInputs(text(body, "query", query));
        List<PoolingText> texts = texts(body, "documents", documents);
        for (int i = 0; i < texts.size(); i++) {
            pooling.addInputs(texts.get(i)).addPairs(pair(0, i + 1));
        }
        ResponseShape.Builder shape = ResponseShape.newBuilder()
                .setApi(ResponseShape.Api.RERANK)
                .setReturnDocuments(body.bool("return_documents", true));
        body.integer("top_n", 0, Integer.MAX_VALUE).ifPresent(shape::setTopN);
        return draft(body, model, Submit.Task.SCORE, pooling, shape);
    }

    Draft score(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        String firstName = name(body, "text_1", "data_1", "queries");
        String secondName = name(body, "text_2", "data_2", "documents");
        List<PoolingText> firsts = texts(body, firstName, required(body, firstName));
        List<PoolingText> seconds = texts(body, secondName, required(body, secondName));
        if (firsts.size() != 1 && firsts.size() != seconds.size()) {
            throw body.invalid(
                    firstName,
                    "'%s' has %,d texts and '%s' %,d; it must have one, or as many."
                            .formatted(firstName, firsts.size(), secondName, seconds.size()));
        }
        PoolingInput.Builder pooling =
                PoolingInput.newBuilder().addAllInputs(firsts).addAllInputs(seconds);
        for (int i = 0; i < seconds.size(); i++) {
            pooling.addPairs(pair(firsts.size() == 1 ? 0 : i, firsts.size() + i));
        }
        return draft(
                body,
                model,
                Submit.Task.SCORE,
                pooling,
                ResponseShape.newBuilder().setApi(ResponseShape.Api.SCORE));
    }

    private static Draft draft(
            Fields body, String model, Submit.Task task, PoolingInput.Builder pooling, ResponseShape.Builder shape) {
        if (body.bool("stream", false)) {
            throw body.unsupported("stream", "'stream' is not supported here: the answer comes in one piece.");
        }
        OptionalInt truncate = body.integer("truncate_prompt_tokens", -1, Integer.MAX_VALUE);
        truncate.ifPresent(pooling::setTruncateTokens);
        Submit.Builder submit =
                Submit.newBuilder().setTask(task).setN(1).setSeed(0).setShape(shape);
        Common.read(body, submit);
        long units = 0;
        for (PoolingText text : pooling.getInputsList()) {
            units += text.hasIds()
                    ? text.getIds().getIdsCount()
                    : text.getText().getBytes(StandardCharsets.UTF_8).length / 4 + 1;
        }
        Draft.Prompt prompt =
                new Draft.Prompt(Submit.newBuilder().setPooling(pooling).build(), List.of(), units);
        return new Draft(model, submit.build(), List.of(prompt), true);
    }

    private static PoolingPair pair(int first, int second) {
        return PoolingPair.newBuilder().setFirst(first).setSecond(second).build();
    }

    /** The first of the names that the body has; the first of all when it has none. */
    private static String name(Fields body, String... names) {
        for (String name : names) {
            if (body.has(name)) {
                return name;
            }
        }
        return names[0];
    }

    private static JsonNode required(Fields body, String name) {
        @Nullable JsonNode node = body.get(name);
        if (node == null) {
            throw body.missing(name);
        }
        return node;
    }

    /** A string, strings, token ids, or lists of them. */
    private static List<PoolingText> inputs(Fields body) {
        JsonNode input = required(body, "input");
        if (input.isArray() && !input.isEmpty() && input.get(0).isNumber()) {
            return List.of(ids(body, "input", input));
        }
        if (!input.isArray() || input.isEmpty() || !input.get(0).isArray()) {
            return texts(body, "input", input);
        }
        checkCount(body, "input", input);
        List<PoolingText> all = new ArrayList<>();
        for (int i = 0; i < input.size(); i++) {
            all.add(ids(body, "input[" + i + "]", input.get(i)));
        }
        return all;
    }

    private static void checkCount(Fields body, String name, JsonNode list) {
        if (list.isEmpty()) {
            throw body.invalid(name, "'" + name + "' is empty.");
        }
        if (list.size() > INPUTS_MAX) {
            throw body.invalid(
                    name, "'%s' has %,d entries; at most %,d are taken.".formatted(name, list.size(), INPUTS_MAX));
        }
    }

    /** A text or a list of them. */
    private static List<PoolingText> texts(Fields body, String name, JsonNode node) {
        if (!node.isArray()) {
            return List.of(text(body, name, node));
        }
        checkCount(body, name, node);
        List<PoolingText> texts = new ArrayList<>();
        for (int i = 0; i < node.size(); i++) {
            texts.add(text(body, name + "[" + i + "]", node.get(i)));
        }
        return texts;
    }

    /** A string, or an object with one as its {@code text}. */
    private static PoolingText text(Fields body, String name, JsonNode node) {
        JsonNode text = node.isObject() ? node.path("text") : node;
        if (!text.isString()) {
            throw body.wrong(name, "a string", node);
        }
        if (text.stringValue().isEmpty()) {
            throw body.invalid(name, "'" + name + "' is empty.");
        }
        return PoolingText.newBuilder()
                .setText(text.stringValue())
                .setField(name)
                .build();
    }

    private static PoolingText ids(Fields body, String name, JsonNode node) {
        if (!node.isArray()) {
            throw body.wrong(name, "a list of token ids", node);
        }
        if (node.isEmpty()) {
            throw body.invalid(name, "'" + name + "' is empty.");
        }
        return PoolingText.newBuilder()
                .setIds(TokenIds.newBuilder().addAllIds(body.ids(name, node)))
                .setField(name)
                .build();
    }
}
