package io.millrace.gateway.parse;

import org.jspecify.annotations.Nullable;

/** Reads a JSON array of calls. */
final class ListReader implements Reader {

    private final Pieces out;
    private @Nullable CallReader call;
    private boolean opened;
    private boolean any;
    private boolean separated = true;

    ListReader(Pieces out) {
        this.out = out;
    }

    @Override
    public Status accept(char c) {
        if (call != null) {
            Status status = call.accept(c);
            if (status == Status.DONE) {
                call = null;
                separated = false;
                any = true;
                return Status.CALL;
            }
            return status;
        }
        if (MarkerScan.isWhite(c)) {
            return Status.MORE;
        }
        if (!opened) {
            opened = true;
            return c == '[' ? Status.MORE : Status.FAILED;
        }
        if (c == ']' && any && !separated) {
            return Status.DONE;
        }
        if (c == ',' && !separated) {
            separated = true;
            return Status.MORE;
        }
        if (c == '{' && separated) {
            call = new CallReader(out);
            return call.accept(c);
        }
        return Status.FAILED;
    }

    @Override
    public boolean committed() {
        return call != null && call.committed();
    }
}
