package io.millrace.gateway.stream;

import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.TokenLogprob;
import java.util.List;

/** The {@code chat.completion} document: one event, when every choice has ended. */
final class ChatDocument implements Renderer {

    private final Call call;
    private final Progress progress;
    private final ChoiceOutputs choices;
    private final PromptLogprobs promptLogprobs;
    private final String echo;

    ChatDocument(Call call) {
        this.call = call;
        this.echo = ChatEcho.of(call);
        this.progress = new Progress(call);
        this.choices = new ChoiceOutputs(progress);
        this.promptLogprobs = new PromptLogprobs(call);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        promptLogprobs.observe(accepted);
        if (choices.add(accepted)) {
            out.event(accepted.offset(), null, document());
        }
    }

    private String document() {
        JsonText json = progress.head("chat.completion").name("choices").array();
        for (int i = 0; i < choices.count(); i++) {
            ChoiceOutput choice = choices.get(i);
            ParsedOutput output = ParsedOutput.of(call.first().getChat(), choice.text());
            json.object().field("index", i).name("message").object();
            message(json, i, output);
            json.endObject();
            List<TokenLogprob> logprobs = choice.logprobs();
            ChatChunks.logprobs(json, logprobs.isEmpty() ? null : logprobs);
            choices.reasons(json, i, output.calls().size()).endObject();
        }
        return promptLogprobs.write(choices.close(json), 0).endObject().toString();
    }

    private void message(JsonText json, int choice, ParsedOutput output) {
        ChatInput chat = call.first().getChat();
        boolean other = !output.calls().isEmpty() || !output.reasoning().isEmpty();
        String content = echo + output.content();
        json.field("role", "assistant")
                .field("content", other && content.isEmpty() ? null : content)
                .nothing("refusal");
        if (!output.reasoning().isEmpty() && !chat.getHideReasoning()) {
            json.field("reasoning_content", output.reasoning());
        }
        if (!output.calls().isEmpty()) {
            json.name("tool_calls").array();
            for (int i = 0; i < output.calls().size(); i++) {
                ParsedOutput.FunctionCall each = output.calls().get(i);
                json.object()
                        .field("id", CallIds.of(call.id(), chat, choice, i))
                        .field("type", "function");
                json.name("function").object().field("name", each.name());
                json.field("arguments", each.arguments().toString()).endObject().endObject();
            }
            json.endArray();
        }
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.json());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
