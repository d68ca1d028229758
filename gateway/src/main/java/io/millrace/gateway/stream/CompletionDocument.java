package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;
import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/** The {@code text_completion} document: one event, when every choice has ended. */
final class CompletionDocument implements Renderer {

    private final Call call;
    private final Progress progress;
    private final Echo echo;
    private final List<ChoiceOutput> choices = new ArrayList<>();

    CompletionDocument(Call call) {
        this.call = call;
        this.progress = new Progress(call);
        this.echo = new Echo(call);
        for (int i = 0; i < progress.choices(); i++) {
            choices.add(new ChoiceOutput());
        }
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        echo.observe(accepted);
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
        JsonText json = progress.head("text_completion").name("choices").array();
        for (int i = 0; i < choices.size(); i++) {
            ChoiceOutput choice = choices.get(i);
            String prompt = echo.of(i / call.n());
            json.object().field("index", i).field("text", prompt + choice.text());
            if (choice.logprobs().isEmpty()) {
                json.nothing("logprobs");
            } else {
                json.name("logprobs").raw(logprobs(choice, prompt.codePointCount(0, prompt.length())));
            }
            json.field("finish_reason", progress.finishReason(i)).field("stop_reason", choice.stopReason());
            json.endObject();
        }
        json.endArray().name("usage").raw(progress.usage());
        if (progress.inexact()) {
            json.field("exact", false);
        }
        return json.endObject().toString();
    }

    private static String logprobs(ChoiceOutput choice, int start) {
        List<Integer> offsets = new ArrayList<>();
        int offset = start;
        for (TokenLogprob token : choice.logprobs()) {
            offsets.add(offset);
            offset += Logprobs.length(token);
        }
        return Logprobs.completion(choice.logprobs(), offsets);
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
