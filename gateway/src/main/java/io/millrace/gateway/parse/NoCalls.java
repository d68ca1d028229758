package io.millrace.gateway.parse;

/** All of it is content. */
record NoCalls(Pieces out) implements CallsParser {

    @Override
    public void accept(char c) {
        out.content(c);
    }

    @Override
    public void finish() {}
}
