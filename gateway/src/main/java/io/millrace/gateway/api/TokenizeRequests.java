package io.millrace.gateway.api;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ResponseShape;
import io.millrace.shared.proto.Submit;
import io.millrace.shared.proto.TokenIds;
import io.millrace.shared.proto.TokenizingOptions;
import java.util.List;
import java.util.Objects;

/** Bodies of {@code /tokenize} and {@code /detokenize}, vLLM's. */
final class TokenizeRequests {

    /** Short work that somebody waits for: before what generates. */
    private static final int HIGH = 3;

    private final ChatRequests chats;

    TokenizeRequests(ChatRequests chats) {
        this.chats = chats;
    }

    Draft tokenize(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        boolean chat = body.has("messages");
        if (chat == body.has("prompt")) {
            throw chat ? body.invalid("prompt", "Send 'prompt' or 'messages', not both.") : body.missing("prompt");
        }
        TokenizingOptions.Builder options = TokenizingOptions.newBuilder()
                .setAddSpecial(body.bool("add_special_tokens", !chat))
                .setTokenTexts(body.bool("return_token_strs", false));
        Submit.Builder submit = chat
                ? Submit.newBuilder().setChat(chats.chat(parsed))
                : Submit.newBuilder().setPromptText(Objects.requireNonNull(body.string("prompt")));
        return draft(model, Submit.Task.TOKENIZE, ResponseShape.Api.TOKENIZE, options, submit);
    }

    Draft detokenize(Json.Body parsed) {
        Fields body = new Fields(parsed.object(), "");
        String model = Common.model(body);
        List<Integer> ids = body.ids("tokens");
        if (ids == null) {
            throw body.missing("tokens");
        }
        return draft(
                model,
                Submit.Task.DETOKENIZE,
                ResponseShape.Api.DETOKENIZE,
                TokenizingOptions.newBuilder(),
                Submit.newBuilder().setPromptIds(TokenIds.newBuilder().addAllIds(ids)));
    }

    /** The count of a conversation's tokens. */
    static Draft count(String model, ChatInput chat) {
        return draft(
                model,
                Submit.Task.TOKENIZE,
                ResponseShape.Api.COUNT_TOKENS,
                TokenizingOptions.newBuilder(),
                Submit.newBuilder().setChat(chat));
    }

    private static Draft draft(
            String model,
            Submit.Task task,
            ResponseShape.Api api,
            TokenizingOptions.Builder options,
            Submit.Builder input) {
        Submit submit = Submit.newBuilder()
                .setTask(task)
                .setN(1)
                .setPriority(HIGH)
                .setTokenizing(options)
                .setShape(ResponseShape.newBuilder().setApi(api))
                .build();
        return new Draft(model, submit, List.of(new Draft.Prompt(input.build(), List.of(), 1)), true);
    }
}
