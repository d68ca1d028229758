package io.millrace.worker.text;

import io.millrace.shared.output.ReasoningFormat;

/** Counts the ids of the reasoning at the beginning of an output, its marks included: a function of the ids. Not thread-safe. */
final class ReasoningCounter {

    private enum State {
        BEGIN,
        INSIDE,
        REST
    }

    private final ReasoningFormat format;
    private final StringBuilder tail = new StringBuilder();
    private State state;
    private int count;

    /** @param prefix of the text, before any id */
    ReasoningCounter(ReasoningFormat format, String prefix) {
        this.format = format;
        this.state = format == ReasoningFormat.NONE ? State.REST : State.BEGIN;
        judge(prefix);
    }

    /** Takes the text of the next id. */
    void push(String text) {
        if (state != State.REST) {
            count++;
            judge(text);
        }
    }

    private void judge(String text) {
        tail.append(text);
        if (state == State.BEGIN) {
            String begin = tail.toString().stripLeading();
            if (begin.startsWith(format.open())) {
                state = State.INSIDE;
                tail.setLength(0);
                tail.append(begin.substring(format.open().length()));
            } else if (!format.open().startsWith(begin)) {
                state = State.REST;
                count = 0;
            }
        }
        if (state == State.INSIDE) {
            if (tail.indexOf(format.close()) >= 0) {
                state = State.REST;
            } else {
                tail.delete(0, Math.max(0, tail.length() - format.close().length() + 1));
            }
        }
    }

    /** Ids so far that are certainly of the reasoning. */
    int count() {
        return state == State.BEGIN ? 0 : count;
    }
}
