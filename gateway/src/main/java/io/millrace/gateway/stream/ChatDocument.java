package io.millrace.gateway.stream;

import io.millrace.shared.proto.TokenLogprob;
import java.util.List;

/** The {@code chat.completion} document: one event, when every choice has ended. */
final class ChatDocument implements Renderer {

    private final Progress progress;
    private final ChoiceOutputs choices;
    private final PromptLogprobs promptLogprobs;
    private final String echo;

    ChatDocument(Call call) {
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
            json.object().field("index", i).name("message").object();
            json.field("role", "assistant")
                    .field("content", echo + choice.text())
                    .nothing("refusal");
            json.endObject();
            List<TokenLogprob> logprobs = choice.logprobs();
            ChatChunks.logprobs(json, logprobs.isEmpty() ? null : logprobs);
            choices.reasons(json, i).endObject();
        }
        return promptLogprobs.write(choices.close(json), 0).endObject().toString();
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
