package io.millrace.gateway.stream;

import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;

/** The {@code text_completion} document: one event, when every choice has ended. */
final class CompletionDocument implements Renderer {

    private final Call call;
    private final Progress progress;
    private final Echo echo;
    private final ChoiceOutputs choices;
    private final PromptLogprobs promptLogprobs;

    CompletionDocument(Call call) {
        this.call = call;
        this.progress = new Progress(call);
        this.echo = new Echo(call);
        this.choices = new ChoiceOutputs(progress);
        this.promptLogprobs = new PromptLogprobs(call);
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        echo.observe(accepted);
        promptLogprobs.observe(accepted);
        if (choices.add(accepted)) {
            out.event(accepted.offset(), null, document());
        }
    }

    private String document() {
        JsonText json = progress.head("text_completion").name("choices").array();
        for (int i = 0; i < choices.count(); i++) {
            ChoiceOutput choice = choices.get(i);
            int part = i / call.n();
            String prompt = echo.of(part);
            List<TokenLogprob> echoed = echo.withLogprobs() ? promptLogprobs.of(part) : List.of();
            json.object().field("index", i).field("text", prompt + choice.text());
            if (choice.logprobs().isEmpty() && echoed.isEmpty()) {
                json.nothing("logprobs");
            } else {
                json.name("logprobs").raw(logprobs(echoed, prompt, choice));
            }
            promptLogprobs.write(choices.reasons(json, i), part).endObject();
        }
        return choices.close(json).endObject().toString();
    }

    private static String logprobs(List<TokenLogprob> echoed, String prompt, ChoiceOutput choice) {
        List<TokenLogprob> tokens = new ArrayList<>(echoed);
        List<Integer> offsets = new ArrayList<>(PromptLogprobs.offsets(echoed, prompt));
        int offset = prompt.codePointCount(0, prompt.length());
        for (TokenLogprob token : choice.logprobs()) {
            tokens.add(token);
            offsets.add(offset);
            offset += Logprobs.length(token);
        }
        return Logprobs.completion(tokens, offsets);
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
