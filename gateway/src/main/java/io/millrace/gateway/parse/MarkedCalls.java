package io.millrace.gateway.parse;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Calls behind a marker, anywhere in the text. What follows a marker and is no call is content, with the marker; once a call has begun, its
 * arguments are what the model writes, up to the next marker, even if that is no JSON.
 */
abstract class MarkedCalls implements CallsParser {

    private final Pieces out;
    private final MarkerScan scan;
    /** Since the marker, as long as it may turn out to be content. */
    private final StringBuilder held = new StringBuilder();

    private @Nullable Reader reader;
    private boolean broken;

    MarkedCalls(Pieces out, List<String> markers) {
        this.out = out;
        this.scan = new MarkerScan(markers);
    }

    /** Reads what follows a marker; null: nothing belongs to it. */
    abstract @Nullable Reader after(String marker);

    /** Reads what follows a call without a marker if it begins with that character; null: it is none. */
    abstract @Nullable Reader next(char c);

    /** Whether the marker may stand there; otherwise it is content. */
    abstract boolean expects(String marker);

    /** The text is content, not what was expected after a call. */
    abstract void interrupted();

    abstract String marker(int index);

    Pieces out() {
        return out;
    }

    @Override
    public void accept(char c) {
        if (reader != null) {
            read(reader, c);
            return;
        }
        Reader more = !broken && scan.onlyWhite() ? next(c) : null;
        if (more != null) {
            begin(more, scan.take());
            read(more, c);
            return;
        }
        int found = scan.accept(c, this::text);
        if (found >= 0) {
            marker(marker(found));
        }
    }

    private void text(char c) {
        if (broken) {
            out.arguments(c);
        } else {
            interrupted();
            out.content(c);
        }
    }

    private void marker(String marker) {
        String white = scan.take();
        broken = false;
        if (!expects(marker)) {
            interrupted();
            out.content(white);
            out.content(marker);
            return;
        }
        Reader next = after(marker);
        if (next != null) {
            begin(next, white + marker);
        }
    }

    private void begin(Reader next, String before) {
        reader = next;
        held.setLength(0);
        held.append(before);
    }

    private void read(Reader current, char c) {
        switch (current.accept(c)) {
            case MORE -> {
                held.append(c);
                if (current.committed()) {
                    held.setLength(0);
                }
            }
            case CALL -> held.setLength(0);
            case DONE -> reader = null;
            case FAILED -> {
                reader = null;
                broken = current.committed();
                if (!broken) {
                    interrupted();
                    out.content(held);
                }
                accept(c);
            }
        }
    }

    @Override
    public void finish() {
        if (reader != null
                && !reader.committed()
                && (out.calls() == 0 || !held.toString().isBlank())) {
            out.content(held);
        }
        String rest = scan.take();
        if (broken) {
            out.arguments(rest);
        } else if (out.calls() == 0 || !rest.isBlank()) {
            out.content(rest);
        }
    }
}
