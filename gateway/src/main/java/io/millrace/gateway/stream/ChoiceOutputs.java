package io.millrace.gateway.stream;

import io.millrace.shared.proto.JournalRecord;
import java.util.ArrayList;
import java.util.List;

/** Output of all choices, gathered for an answer in one piece. */
final class ChoiceOutputs {

    private final Progress progress;
    private final List<ChoiceOutput> choices = new ArrayList<>();

    ChoiceOutputs(Progress progress) {
        this.progress = progress;
        for (int i = 0; i < progress.choices(); i++) {
            choices.add(new ChoiceOutput());
        }
    }

    /** Adds the record; true when it was the last one of the answer. */
    boolean add(Accepted accepted) {
        JournalRecord record = accepted.record();
        if (record.hasTokens()) {
            choices.get(progress.index(accepted.prompt(), record.getTokens().getChoice()))
                    .add(record.getTokens());
        } else if (record.hasEnd()) {
            choices.get(progress.index(accepted.prompt(), record.getEnd().getChoice()))
                    .end(record.getEnd());
            return progress.complete();
        }
        return false;
    }

    ChoiceOutput get(int index) {
        return choices.get(index);
    }

    int count() {
        return choices.size();
    }

    /**
     * How each choice ends: {@code finish_reason} and {@code stop_reason}.
     *
     * @param calls of functions in its output
     */
    JsonText reasons(JsonText json, int index, int calls) {
        json.field("finish_reason", ParsedOutput.finishReason(progress.finishReason(index), calls));
        return progress.stopReason(json, choices.get(index).stopReason());
    }

    /** Ends the choices, and writes {@code usage} and whether the answer is exact. */
    JsonText close(JsonText json) {
        json.endArray().name("usage").raw(progress.usage());
        if (progress.inexact()) {
            json.field("exact", false);
        }
        return json;
    }
}
