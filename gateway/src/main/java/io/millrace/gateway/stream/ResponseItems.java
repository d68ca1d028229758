package io.millrace.gateway.stream;

import io.millrace.gateway.parse.OutputParser;
import io.millrace.gateway.parse.OutputSink;
import io.millrace.shared.output.ReasoningFormat;
import io.millrace.shared.proto.TokenLogprob;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** The output of a response, item by item, from the model's raw text. Not thread-safe. */
final class ResponseItems implements OutputSink {

    /** Hears what happens to items, in order. */
    interface Watcher {

        default void opened(ResponseItem item) {}

        default void added(ResponseItem item, String piece, List<TokenLogprob> logprobs) {}

        default void closed(ResponseItem item) {}
    }

    private final Call call;
    private final OutputParser parser;
    private final Watcher watcher;
    private final boolean plain;
    private final List<ResponseItem> items = new ArrayList<>();
    private List<TokenLogprob> logprobs = List.of();
    private @Nullable ResponseItem open;

    ResponseItems(Call call, Watcher watcher) {
        this.call = call;
        this.parser = OutputParser.of(call.first().getChat());
        this.watcher = watcher;
        this.plain = !call.first().getChat().hasToolUse()
                && ReasoningFormat.of(call.first().getChat().getReasoningFormat()) == ReasoningFormat.NONE;
    }

    /** More of the raw text. Its log probabilities go with the first text of a message in it. */
    void accept(String text, List<TokenLogprob> more) {
        logprobs = more;
        if (plain) {
            at(ResponseItem.Kind.MESSAGE);
        }
        parser.accept(text, this);
        if (!logprobs.isEmpty() && (plain || open != null && open.kind() == ResponseItem.Kind.MESSAGE)) {
            content("");
        }
        logprobs = List.of();
    }

    /** The text is over; an output without anything has an empty message. */
    void finish(String status) {
        parser.finish(this);
        if (items.isEmpty()) {
            open(ResponseItem.Kind.MESSAGE, "", "");
        }
        close(status);
    }

    /** It ends here, whatever is held back. */
    void cut(String status) {
        close(status);
    }

    @Override
    public void content(String piece) {
        List<TokenLogprob> own = logprobs;
        logprobs = List.of();
        add(at(ResponseItem.Kind.MESSAGE), piece, own);
    }

    @Override
    public void reasoning(String piece) {
        if (!call.first().getChat().getHideReasoning()) {
            add(at(ResponseItem.Kind.REASONING), piece, List.of());
        }
    }

    @Override
    public void call(int index, String name) {
        open(ResponseItem.Kind.CALL, CallIds.of(call.id(), call.first().getChat(), 0, index), name);
    }

    @Override
    public void arguments(int index, String piece) {
        add(at(ResponseItem.Kind.CALL), piece, List.of());
    }

    private void add(ResponseItem item, String piece, List<TokenLogprob> own) {
        item.add(piece, own);
        watcher.added(item, piece, own);
    }

    private ResponseItem at(ResponseItem.Kind kind) {
        return open != null && open.kind() == kind ? open : open(kind, "", "");
    }

    private ResponseItem open(ResponseItem.Kind kind, String callId, String name) {
        close("completed");
        ResponseItem item = new ResponseItem(kind, call, items.size(), callId, name);
        items.add(item);
        open = item;
        watcher.opened(item);
        return item;
    }

    private void close(String status) {
        if (open != null) {
            open.end(status);
            watcher.closed(open);
            open = null;
        }
    }

    /** All of them, one after the other; null: there is none yet. */
    @Nullable
    String json() {
        return items.isEmpty() ? null : items.stream().map(ResponseItem::json).collect(Collectors.joining(","));
    }
}
