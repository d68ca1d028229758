package io.millrace.gateway.stream;

import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.Comparator;
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
        List<Integer> shown = shown();
        for (int i = 0; i < shown.size(); i++) {
            choice(json, i, shown.get(i));
        }
        return choices.close(json).endObject().toString();
    }

    private void choice(JsonText json, int index, int which) {
        ChoiceOutput choice = choices.get(which);
        int part = which / call.n();
        String prompt = echo.of(part);
        List<TokenLogprob> echoed = echo.withLogprobs() ? promptLogprobs.of(part) : List.of();
        boolean promptOnly = call.shape().getPromptOnly();
        json.object().field("index", index).field("text", promptOnly ? prompt : prompt + choice.text());
        boolean hidden = promptOnly || call.shape().getHideLogprobs();
        List<TokenLogprob> own = hidden ? List.of() : choice.logprobs();
        if (own.isEmpty() && echoed.isEmpty()) {
            json.nothing("logprobs");
        } else {
            json.name("logprobs").raw(logprobs(echoed, prompt, own));
        }
        promptLogprobs.write(choices.reasons(json, which, 0), part).endObject();
    }

    /** All choices, or of each prompt the best ones, best first, the first of equals first. */
    private List<Integer> shown() {
        List<Integer> shown = new ArrayList<>();
        int best = call.shape().getBest();
        for (int from = 0; from < choices.count(); from += call.n()) {
            List<Integer> own = new ArrayList<>();
            for (int i = 0; i < call.n(); i++) {
                own.add(from + i);
            }
            if (best > 0) {
                own.sort(Comparator.comparingDouble(i -> -choices.get(i).meanLogprob()));
            }
            shown.addAll(best > 0 ? own.subList(0, Math.min(best, own.size())) : own);
        }
        return shown;
    }

    private static String logprobs(List<TokenLogprob> echoed, String prompt, List<TokenLogprob> own) {
        List<TokenLogprob> tokens = new ArrayList<>(echoed);
        List<Integer> offsets = new ArrayList<>(PromptLogprobs.offsets(echoed, prompt));
        int offset = prompt.codePointCount(0, prompt.length());
        for (TokenLogprob token : own) {
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
