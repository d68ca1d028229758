package io.millrace.gateway.parse;

import io.millrace.shared.output.ToolFormat;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Calls that are all of an output: objects one after the other, a JSON array of them, or Python's notation; behind a marker or not, and for
 * models that were told what to write, in a code fence. An output that begins with anything else is content.
 */
final class BareCalls implements CallsParser {

    private static final List<String> LLAMA = List.of("<|python_tag|>", "<|python_start|>");
    private static final List<String> LLAMA_ENDS = List.of("<|python_end|>");
    private static final List<String> FENCES = List.of("```json\n", "```\n");
    private static final List<String> FENCE_ENDS = List.of("```");

    private enum State {
        BEGIN,
        CALL,
        /** Behind a call. */
        AFTER,
        /** The rest of arguments that are no JSON. */
        BROKEN,
        CONTENT
    }

    private final Pieces out;
    private final boolean python;
    private final List<String> openers;
    private final MarkerScan before;
    private final MarkerScan behind;
    /** What is content if no call follows. */
    private final StringBuilder held = new StringBuilder();

    private State state = State.BEGIN;
    private boolean marked;
    private @Nullable Reader reader;

    BareCalls(ToolFormat format, Pieces out) {
        boolean generic = format == ToolFormat.GENERIC;
        this.out = out;
        this.python = format == ToolFormat.LLAMA3_PYTHONIC;
        this.openers = generic ? FENCES : LLAMA;
        this.before = new MarkerScan(openers);
        this.behind = new MarkerScan(generic ? FENCE_ENDS : LLAMA_ENDS);
    }

    @Override
    public void accept(char c) {
        switch (state) {
            case BEGIN -> begin(c);
            case CALL -> call(c);
            case AFTER -> after(c);
            case BROKEN -> out.arguments(c);
            case CONTENT -> out.content(c);
        }
    }

    private void begin(char c) {
        if (before.onlyWhite() && (c == '{' || c == '[')) {
            held.append(before.take());
            start(c);
            return;
        }
        int length = held.length();
        int found = before.accept(c, held::append);
        boolean text = held.length() > length;
        if (found >= 0) {
            held.append(before.take()).append(openers.get(found));
            text |= marked;
            marked = true;
        }
        if (text) {
            held.append(before.take());
            content();
        }
    }

    private void start(char c) {
        state = State.CALL;
        reader = c == '{' ? new CallReader(out) : python ? new PythonReader(out) : new ListReader(out);
        call(c);
    }

    private void call(char c) {
        Reader current = reader;
        if (current == null) {
            return;
        }
        switch (current.accept(c)) {
            case MORE -> {
                held.append(c);
                if (current.committed()) {
                    held.setLength(0);
                }
            }
            case CALL -> held.setLength(0);
            case DONE -> {
                held.setLength(0);
                state = State.AFTER;
            }
            case FAILED -> {
                if (!current.committed()) {
                    content();
                } else {
                    state = python ? State.CONTENT : State.BROKEN;
                }
                accept(c);
            }
        }
    }

    private void after(char c) {
        if (behind.onlyWhite() && c == '{') {
            held.append(behind.take());
            start(c);
        } else if (behind.onlyWhite()
                && (c == ';' || c == ',')
                && held.toString().isBlank()) {
            held.append(behind.take()).append(c);
        } else {
            int length = held.length();
            if (behind.accept(c, held::append) >= 0) {
                held.setLength(0);
                behind.take();
            } else if (held.length() > length) {
                held.append(behind.take());
                content();
            }
        }
    }

    private void content() {
        out.content(held);
        held.setLength(0);
        state = State.CONTENT;
    }

    @Override
    public void finish() {
        switch (state) {
            case BEGIN -> {
                held.append(before.take());
                content();
            }
            case CALL -> {
                if (reader != null
                        && !reader.committed()
                        && (out.calls() == 0 || !held.toString().isBlank())) {
                    content();
                }
            }
            case AFTER -> {
                held.append(behind.take());
                if (!held.toString().isBlank()) {
                    content();
                }
            }
            case BROKEN, CONTENT -> {}
        }
    }
}
