package io.millrace.gateway.parse;

/** Tells content from calls, in a model's own format. Not thread-safe. */
interface CallsParser {

    void accept(char c);

    /** The output is over: what was held back is content, unless it is only white space around calls. */
    void finish();
}
