package io.millrace.gateway.stream;

import io.millrace.gateway.parse.OutputParser;
import io.millrace.gateway.parse.OutputSink;
import io.millrace.shared.proto.End;
import java.util.ArrayList;
import java.util.List;
import tools.jackson.core.JacksonException;
import tools.jackson.databind.json.JsonMapper;

/** Anthropic's message in one piece: one event, at the end. */
final class MessageDocument implements Renderer {

    private final Progress progress;
    private final MessageShape shape;
    private final OutputParser parser;
    private final Blocks blocks = new Blocks();

    MessageDocument(Call call) {
        this.progress = new Progress(call);
        this.shape = new MessageShape(call, progress);
        this.parser = OutputParser.of(call.first().getChat());
    }

    @Override
    public void accept(Accepted accepted, Frames<?> out) {
        progress.observe(accepted);
        parser.accept(accepted.record().getTokens().getText(), blocks);
        if (accepted.record().hasEnd()) {
            End end = accepted.record().getEnd();
            parser.accept(end.getText(), blocks);
            parser.finish(blocks);
            JsonText json = shape.head();
            blocks.all.forEach(block -> write(json, block));
            shape.reason(json.endArray(), end, parser.calls()).name("usage").raw(shape.usage());
            if (progress.inexact()) {
                json.field("exact", false);
            }
            out.event(accepted.offset(), null, json.endObject().toString());
        }
    }

    private sealed interface Block {

        StringBuilder text();
    }

    private record Words(StringBuilder text) implements Block {}

    private record Thoughts(StringBuilder text) implements Block {}

    /** @param text its arguments */
    private record Use(int index, String name, StringBuilder text) implements Block {}

    private void write(JsonText json, Block block) {
        String text = block.text().toString();
        json.object();
        switch (block) {
            case Words words -> json.field("type", "text").field("text", text).nothing("citations");
            case Thoughts thoughts ->
                json.field("type", "thinking").field("thinking", text).field("signature", "");
            case Use use -> shape.call(json, use.index(), use.name()).raw(input(text));
        }
        json.endObject();
    }

    /** A call's input is an object; arguments that are none, as those cut off, are the text in it. */
    private static String input(String arguments) {
        if (arguments.isBlank()) {
            return "{}";
        }
        try {
            if (JsonMapper.shared().readTree(arguments).isObject()) {
                return arguments;
            }
        } catch (JacksonException e) {
            // What the model wrote is no JSON.
        }
        return new JsonText().object().field("arguments", arguments).endObject().toString();
    }

    /** Content so far, block by block. */
    private final class Blocks implements OutputSink {

        private final List<Block> all = new ArrayList<>();

        @Override
        public void content(String piece) {
            if (all.isEmpty() || !(all.getLast() instanceof Words)) {
                all.add(new Words(new StringBuilder()));
            }
            all.getLast().text().append(piece);
        }

        @Override
        public void reasoning(String piece) {
            if (shape.thoughtless()) {
                return;
            }
            if (all.isEmpty() || !(all.getLast() instanceof Thoughts)) {
                all.add(new Thoughts(new StringBuilder()));
            }
            all.getLast().text().append(piece);
        }

        @Override
        public void call(int index, String name) {
            all.add(new Use(index, name, new StringBuilder()));
        }

        @Override
        public void arguments(int index, String piece) {
            all.getLast().text().append(piece);
        }
    }

    @Override
    public void fail(ApiError error, long offset, Frames<?> out) {
        out.event(offset, null, error.anthropic());
    }

    @Override
    public Progress progress() {
        return progress;
    }
}
