package io.millrace.gateway.parse;

import io.millrace.shared.output.ReasoningFormat;
import java.util.List;

/**
 * Parts the reasoning at the beginning of an output from the rest. White space around the reasoning and before the rest is dropped. Not
 * thread-safe.
 */
final class ReasoningParser {

    private enum State {
        BEGIN,
        INSIDE,
        BEHIND,
        REST
    }

    private final Pieces out;
    private final CallsParser rest;
    private final MarkerScan open;
    private final MarkerScan close;
    private State state;
    private boolean begun;

    ReasoningParser(ReasoningFormat format, Pieces out, CallsParser rest) {
        this.out = out;
        this.rest = rest;
        this.open = new MarkerScan(List.of(format.open()));
        this.close = new MarkerScan(List.of(format.close()));
        this.state = format == ReasoningFormat.NONE ? State.REST : State.BEGIN;
    }

    void accept(char c) {
        switch (state) {
            case BEGIN -> {
                int found = open.accept(c, this::plain);
                if (found >= 0) {
                    open.take();
                    state = State.INSIDE;
                } else if (state == State.REST) {
                    plain(open.take());
                }
            }
            case INSIDE -> {
                if (close.accept(c, this::reasoning) >= 0) {
                    close.take();
                    state = State.BEHIND;
                }
            }
            case BEHIND -> {
                if (!MarkerScan.isWhite(c)) {
                    plain(c);
                }
            }
            case REST -> rest.accept(c);
        }
    }

    private void plain(char c) {
        state = State.REST;
        rest.accept(c);
    }

    private void plain(String text) {
        for (int i = 0; i < text.length(); i++) {
            rest.accept(text.charAt(i));
        }
    }

    private void reasoning(char c) {
        if (begun || !MarkerScan.isWhite(c)) {
            begun = true;
            out.reasoning(c);
        }
    }

    void finish() {
        if (state == State.BEGIN) {
            plain(open.take());
        } else if (state == State.INSIDE) {
            String left = close.take();
            if (!left.isBlank()) {
                for (int i = 0; i < left.length(); i++) {
                    reasoning(left.charAt(i));
                }
            }
        }
        rest.finish();
    }
}
