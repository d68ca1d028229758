package io.millrace.gateway.parse;

/** Reads the arguments of a call whose name is known: a JSON object. */
final class ArgumentsReader implements Reader {

    private final String name;
    private final Pieces out;
    private final JsonScan scan = new JsonScan();
    private boolean committed;

    ArgumentsReader(String name, Pieces out) {
        this.name = name;
        this.out = out;
    }

    @Override
    public Status accept(char c) {
        if (!committed && c != '{') {
            return MarkerScan.isWhite(c) ? Status.MORE : Status.FAILED;
        }
        if (!scan.accept(c)) {
            return Status.FAILED;
        }
        if (!committed) {
            committed = true;
            out.call(name);
        }
        out.arguments(c);
        return scan.done() ? Status.DONE : Status.MORE;
    }

    @Override
    public boolean committed() {
        return committed;
    }
}
