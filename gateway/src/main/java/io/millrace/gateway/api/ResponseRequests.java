package io.millrace.gateway.api;

import io.millrace.gateway.stream.ApiError;
import io.millrace.gateway.stream.ApiException;
import io.millrace.gateway.stream.JsonText;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Bodies of {@code /v1/responses}, and of {@code response.create} on its WebSocket. */
final class ResponseRequests {

    private final Json json;
    private final GrammarFields grammars;

    ResponseRequests(Json json) {
        this.json = json;
        this.grammars = new GrammarFields(json);
    }

    Draft read(Json.Body parsed, boolean socket) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        refuse(body);
        List<Draft.Text> texts = new ArrayList<>();
        String messages = messages(body, texts);
        Sampling.Builder sampling = SamplingFields.read(body, List.of("max_output_tokens"));
        grammars.readForResponse(parsed, sampling);
        ResponseShape.Builder shape =
                Common.shape(body, ResponseShape.Api.RESPONSES).setExtraJson(extra(body, format(parsed.text())));
        if (socket) {
            shape.setStream(true);
        }
        Submit.Builder submit =
                Submit.newBuilder().setSampling(sampling).setN(1).setShape(shape);
        Common.read(body, submit);
        submit.setStore(body.bool("store", true));
        submit.setBackground(body.bool("background", false));
        if (submit.getBackground() && !submit.getStore()) {
            throw body.invalid("store", "'background' needs 'store': true, or nobody could fetch the answer.");
        }
        OptionalLong seed = Common.seed(body);
        seed.ifPresent(submit::setSeed);
        ChatInput chat = ChatInput.newBuilder()
                .setMessagesJson(messages)
                .setAddGenerationPrompt(true)
                .build();
        var prompt = new Draft.Prompt(Submit.newBuilder().setChat(chat).build(), texts, messages.length() / 4 + 1);
        return new Draft(model, submit.build(), List.of(prompt), seed.isPresent());
    }

    private static void refuse(Fields body) {
        if (body.has("previous_response_id")) {
            throw new ApiException(ApiError.of(
                    400,
                    "previous_response_not_found",
                    "previous_response_id",
                    "Earlier responses are not kept by this server yet; send the whole conversation as 'input'."));
        }
        JsonNode tools = body.get("tools");
        if (tools != null && !(tools.isArray() && tools.isEmpty())) {
            throw body.unsupported(
                    "tools", "'tools' are not supported on this endpoint yet; use /v1/chat/completions.");
        }
        if (body.has("prompt_logprobs")) {
            throw body.unsupported(
                    "prompt_logprobs",
                    "'prompt_logprobs' are not given on this endpoint; use /v1/completions or /v1/chat/completions.");
        }
    }

    private static String messages(Fields body, List<Draft.Text> texts) {
        JsonText json = new JsonText().array();
        String instructions = body.string("instructions");
        if (instructions != null && !instructions.isEmpty()) {
            add(json, texts, "system", instructions);
        }
        JsonNode input = body.get("input");
        if (input == null) {
            throw body.missing("input");
        }
        if (input.isString()) {
            add(json, texts, "user", input.stringValue());
        } else if (input.isArray() && !input.isEmpty()) {
            for (int i = 0; i < input.size(); i++) {
                item(body, "input[" + i + "]", input.get(i), json, texts);
            }
        } else {
            throw body.wrong("input", "a string or a list of at least one item", input);
        }
        return json.endArray().toString();
    }

    private static void item(Fields body, String place, JsonNode item, JsonText json, List<Draft.Text> texts) {
        if (!item.isObject()) {
            throw body.wrong(place, "an object", item);
        }
        Fields fields = new Fields(item, body.path(place));
        String type = fields.string("type");
        if (type == null || type.equals("message")) {
            Draft.Text text = Messages.message(fields);
            add(json, texts, text.role(), text.text());
        } else if (!type.equals("reasoning")) {
            throw fields.unsupported(
                    "type", "'" + place + "' is of type '" + type + "'; only messages are supported yet.");
        }
    }

    private static void add(JsonText json, List<Draft.Text> texts, String role, String text) {
        json.object().field("role", role).field("content", text).endObject();
        texts.add(new Draft.Text(role, text));
    }

    /** {@code text.format} in the client's own characters. */
    private String format(String body) {
        String text = json.slices(body, Set.of("text")).getOrDefault("text", "{}");
        return json.slices(text, Set.of("format")).getOrDefault("format", "{\"type\":\"text\"}");
    }

    /**
     * Fields of the request that the response object repeats.
     *
     * @param format of the text, as JSON
     */
    private static String extra(Fields body, String format) {
        JsonText json = new JsonText().object().field("instructions", body.string("instructions"));
        JsonNode metadata = body.get("metadata");
        if (metadata != null && !metadata.isObject()) {
            throw body.wrong("metadata", "an object", metadata);
        }
        @Nullable String user = body.string("user");
        json.name("metadata").raw(metadata == null ? "{}" : metadata.toString());
        json.nothing("previous_response_id");
        json.name("reasoning").raw("{\"effort\":null,\"summary\":null}");
        json.name("text").raw("{\"format\":" + format + "}");
        return json.field("user", user).endObject().toString();
    }
}
