package io.millrace.gateway.parse;

import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.output.ToolFormat;
import io.millrace.shared.proto.ChatInput;
import io.millrace.shared.proto.ToolUse;
import java.util.Set;

/**
 * Reads one choice's raw text as it comes: content, reasoning, calls. What it hands on is a function of the text, however that is cut into
 * pieces: only where pieces end differs. It never fails; what a model writes wrongly is content. Not thread-safe.
 */
public final class OutputParser {

    private final Pieces pieces;
    private final ReasoningParser reasoning;

    private OutputParser(ReasoningFormat format, Pieces pieces, CallsParser calls) {
        this.pieces = pieces;
        this.reasoning = new ReasoningParser(format, pieces, calls);
    }

    /** For the output of that chat. */
    public static OutputParser of(ChatInput chat) {
        ToolUse use = chat.getToolUse();
        Pieces pieces = new Pieces(Set.copyOf(use.getFunctionsList()), use.getSingle());
        return new OutputParser(
                ReasoningFormat.of(chat.getReasoningFormat()),
                pieces,
                chat.hasToolUse() ? calls(ToolFormat.of(use.getFormat()), pieces) : new NoCalls(pieces));
    }

    private static CallsParser calls(ToolFormat format, Pieces pieces) {
        return switch (format) {
            case HERMES -> new TaggedCalls(pieces);
            case MISTRAL, MISTRAL_ARGS -> new MistralCalls(pieces);
            case GENERIC, LLAMA3_JSON, LLAMA3_PYTHONIC -> new BareCalls(format, pieces);
        };
    }

    /** More of the text: whole characters. */
    public void accept(String text, OutputSink sink) {
        pieces.to(sink);
        for (int i = 0; i < text.length(); i++) {
            reasoning.accept(text.charAt(i));
        }
        pieces.flush();
    }

    /** The text is over. */
    public void finish(OutputSink sink) {
        pieces.to(sink);
        reasoning.finish();
        pieces.flush();
    }

    /** Calls so far. */
    public int calls() {
        return pieces.calls();
    }
}
