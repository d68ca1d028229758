package io.millrace.gateway.api;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Sampling;
import io.millrace.shared.proto.Submit;
import java.util.List;
import java.util.Set;
import tools.jackson.databind.JsonNode;

/** Bodies of {@code /v1/messages}, Anthropic's (https://docs.anthropic.com/en/api/messages). */
final class MessageRequests {

    private static final Set<String> ELSEWHERE = Set.of("mcp_servers", "container", "context_management");

    private final GrammarFields grammars;
    private final int messagesMax;

    /** @param messagesMax most messages of a conversation */
    MessageRequests(Json json, int messagesMax) {
        this.messagesMax = messagesMax;
        this.grammars = new GrammarFields(json);
    }

    Draft read(Json.Body parsed) {
        Fields body = parsed.fields();
        String model = Common.model(body);
        refuse(body);
        Sampling.Builder sampling = SamplingFields.read(body, List.of("max_tokens"));
        for (String stop : body.strings("stop_sequences", SamplingFields.STOPS_MAX)) {
            if (stop.isEmpty()) {
                throw body.invalid(
                        "stop_sequences", "'stop_sequences' holds an empty string, which would match everywhere.");
            }
            sampling.addStop(stop);
        }
        grammars.readForMessage(parsed, sampling);
        MessageInput input = MessageInput.read(body, messagesMax, sampling);
        if (!sampling.hasMaxTokens()) {
            throw body.missing("max_tokens");
        }
        Submit.Builder submit = Submit.newBuilder()
                .setSampling(sampling)
                .setN(1)
                .setShape(Common.shape(body, ResponseShape.Api.MESSAGES));
        Common.read(body, submit);
        ChatInput chat = input.chat();
        long bytes =
                (long) chat.getMessagesJson().length() + chat.getToolsJson().length();
        var prompt = new Draft.Prompt(Submit.newBuilder().setChat(chat).build(), input.texts(), bytes / 4 + 1);
        return new Draft(model, submit.build(), List.of(prompt), false);
    }

    /** A body of {@code /v1/messages/count_tokens}. */
    Draft count(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        refuse(body);
        return TokenizeRequests.count(
                model,
                MessageInput.read(body, messagesMax, Sampling.newBuilder()).chat());
    }

    private static void refuse(Fields body) {
        for (String name : ELSEWHERE) {
            JsonNode value = body.get(name);
            if (value != null && !(value.isContainer() && value.isEmpty())) {
                throw body.unsupported(name, "'" + name + "' is not supported by this server.");
            }
        }
        Fields metadata = body.object("metadata");
        if (metadata != null) {
            metadata.string("user_id");
        }
    }
}
