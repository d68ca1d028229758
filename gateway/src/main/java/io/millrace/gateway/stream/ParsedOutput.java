package io.millrace.gateway.stream;

import io.millrace.gateway.parse.OutputParser;
import io.millrace.gateway.parse.OutputSink;
import io.millrace.shared.proto.ChatInput;
import java.util.ArrayList;
import java.util.List;

/** A choice's whole output in its parts, for answers in one piece. */
final class ParsedOutput implements OutputSink {

    /** One call. */
    record FunctionCall(String name, StringBuilder arguments) {}

    private final StringBuilder content = new StringBuilder();
    private final StringBuilder reasoning = new StringBuilder();
    private final List<FunctionCall> calls = new ArrayList<>();

    /** Of raw text that has ended. */
    static ParsedOutput of(ChatInput chat, String text) {
        ParsedOutput output = new ParsedOutput();
        OutputParser parser = OutputParser.of(chat);
        parser.accept(text, output);
        parser.finish(output);
        return output;
    }

    /** {@code tool_calls} where calls are why the model stopped. */
    static String finishReason(String own, int calls) {
        return calls > 0 && own.equals("stop") ? "tool_calls" : own;
    }

    @Override
    public void content(String piece) {
        content.append(piece);
    }

    @Override
    public void reasoning(String piece) {
        reasoning.append(piece);
    }

    @Override
    public void call(int index, String name) {
        calls.add(new FunctionCall(name, new StringBuilder()));
    }

    @Override
    public void arguments(int index, String piece) {
        calls.get(index).arguments().append(piece);
    }

    String content() {
        return content.toString();
    }

    String reasoning() {
        return reasoning.toString();
    }

    List<FunctionCall> calls() {
        return calls;
    }
}
