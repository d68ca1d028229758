package io.millrace.gateway.api;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import java.util.List;
import java.util.OptionalLong;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;

/** Bodies of {@code /v1/responses}, and of {@code response.create} on its WebSocket. */
final class ResponseRequests {

    private final Json json;
    private final GrammarFields grammars;
    private final ToolFields tools = new ToolFields(ToolFields.Form.RESPONSES);
    private final int charactersMax;
    private final int messagesMax;

    /**
     * @param charactersMax most of a conversation, all turns together
     * @param messagesMax most messages or other items of a conversation, all turns together
     */
    ResponseRequests(Json json, int charactersMax, int messagesMax) {
        this.json = json;
        this.charactersMax = charactersMax;
        this.messagesMax = messagesMax;
        this.grammars = new GrammarFields(json);
    }

    /** Id of the response that this one continues; null: none. */
    static @Nullable String previous(Json.Body parsed) {
        return parsed.fields().string(EarlierResponses.FIELD);
    }

    /** @param before what was said in the turns that {@link #previous} names */
    Draft read(Json.Body parsed, boolean socket, Conversation before) {
        Fields body = parsed.fields();
        String model = Common.model(body);
        ResponseFields.refuse(body);
        ResponseInput input = input(body, before);
        String messages = bounded(body, before, input.messages());
        Sampling.Builder sampling = SamplingFields.read(body, List.of("max_output_tokens"));
        ResponseFields.logprobs(body, sampling);
        grammars.readForResponse(parsed, sampling);
        ResponseShape.Builder shape = Common.shape(body, ResponseShape.Api.RESPONSES)
                .setTurns(before.turns() + 1)
                .setExtraJson(ResponseFields.repeated(body, format(parsed.text()), before.id()));
        if (socket) {
            forSocket(body);
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
        String kwargs =
                json.slices(parsed.text(), Set.of("chat_template_kwargs")).getOrDefault("chat_template_kwargs", "");
        ChatInput.Builder chat = ChatInput.newBuilder()
                .setMessagesJson(messages)
                .setTemplateKwargsJson(ResponseFields.templateKwargs(body, kwargs))
                .setAddGenerationPrompt(true)
                .setDropOldest(ResponseFields.dropsOldest(body))
                .setHideReasoning(!body.bool("include_reasoning", true));
        tools.read(body, "", sampling, chat);
        ResponseFields.refuseUnknown(body);
        var prompt =
                new Draft.Prompt(Submit.newBuilder().setChat(chat).build(), input.texts(), messages.length() / 4 + 1);
        return new Draft(model, submit.build(), List.of(prompt), seed.isPresent());
    }

    private static void forSocket(Fields body) {
        if (body.bool("background", false)) {
            throw body.unsupported(
                    "background",
                    "A connection has no background; send it to POST /v1/responses, and fetch it by its id.");
        }
        if (!body.bool("generate", true)) {
            throw body.unsupported(
                    "generate", "'generate' may not be false: prefixes are cached as soon as they are used.");
        }
    }

    /** Instructions, earlier turns, what came out of the last one, and the new input, as chat messages. */
    private ResponseInput input(Fields body, Conversation before) {
        JsonNode input = body.get("input");
        if (input == null) {
            throw body.missing("input");
        }
        int count = input.isArray() ? input.size() : 1;
        Messages.checkCount(body, "input", count, messagesMax);
        int earlier = before.messages().size() + before.output().size();
        Messages.checkCount(body, EarlierResponses.FIELD, earlier + count, messagesMax);
        ResponseInput all = new ResponseInput();
        String instructions = body.string("instructions");
        if (instructions != null && !instructions.isEmpty()) {
            all.add("system", instructions);
        }
        for (JsonNode message : before.messages()) {
            all.chat(message, new Fields(message, EarlierResponses.FIELD));
        }
        for (int i = 0; i < before.output().size(); i++) {
            all.item(
                    body,
                    EarlierResponses.FIELD + ".output[" + i + "]",
                    before.output().get(i));
        }
        if (input.isString()) {
            all.user(body, input.stringValue());
        } else if (input.isArray() && !input.isEmpty()) {
            for (int i = 0; i < input.size(); i++) {
                all.item(body, "input[" + i + "]", input.get(i));
            }
        } else {
            throw body.wrong("input", "a string or a list of at least one item", input);
        }
        return all;
    }

    private String bounded(Fields body, Conversation before, String messages) {
        if (before.turns() >= Conversation.TURNS_MAX) {
            throw body.invalid(
                    EarlierResponses.FIELD,
                    "The conversation has %,d responses already; at most %,d may follow each other. Begin a new one."
                            .formatted(before.turns(), Conversation.TURNS_MAX));
        }
        if (before.turns() > 0 && messages.length() > charactersMax) {
            throw body.invalid(
                    EarlierResponses.FIELD,
                    "The conversation has %,d characters with this turn; at most %,d are taken. Begin a new one."
                            .formatted(messages.length(), charactersMax));
        }
        return messages;
    }

    /** {@code text.format} in the client's own characters. */
    private String format(String body) {
        String text = json.slices(body, Set.of("text")).getOrDefault("text", "{}");
        return json.slices(text, Set.of("format")).getOrDefault("format", "{\"type\":\"text\"}");
    }
}
