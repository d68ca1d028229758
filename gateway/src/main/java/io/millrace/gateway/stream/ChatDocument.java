package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/** The {@code chat.completion} document: one event, when every choice has ended. */
final class ChatDocument implements Renderer {

    private final Progress progress;
    private final List<ChoiceOutput> choices = new ArrayList<>();

    ChatDocument(Call call) {
        this.progress = new Progress(call);
        for (int i = 0; i < progress.choices(); i++) {
            choices.add(new ChoiceOutput());
        }
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        JournalRecord record = accepted.record();
        switch (record.getRecordCase()) {
            case TOKENS ->
                choices.get(progress.index(accepted.prompt(), record.getTokens().getChoice()))
                        .add(record.getTokens());
            case END -> {
                choices.get(progress.index(accepted.prompt(), record.getEnd().getChoice()))
                        .end(record.getEnd());
                if (progress.complete()) {
                    out.event(accepted.offset(), null, document());
                }
            }
            default -> {}
        }
    }

    private String document() {
        JsonText json = progress.head("chat.completion").name("choices").array();
        for (int i = 0; i < choices.size(); i++) {
            ChoiceOutput choice = choices.get(i);
            json.object().field("index", i).name("message").object();
            json.field("role", "assistant").field("content", choice.text()).nothing("refusal");
            json.endObject();
            List<TokenLogprob> logprobs = choice.logprobs();
            ChatChunks.logprobs(json, logprobs.isEmpty() ? null : logprobs);
            json.field("finish_reason", progress.finishReason(i)).field("stop_reason", choice.stopReason());
            json.endObject();
        }
        json.endArray().name("usage").raw(progress.usage());
        if (progress.inexact()) {
            json.field("exact", false);
        }
        return json.endObject().toString();
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
