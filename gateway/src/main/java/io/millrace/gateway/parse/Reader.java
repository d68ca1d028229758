package io.millrace.gateway.parse;

/** Reads one part of a model's text, character by character. Not thread-safe. */
interface Reader {

    /** How far the part is. */
    enum Status {
        MORE,
        /** A call is complete with this character; more may follow. */
        CALL,
        /** It is complete with this character. */
        DONE,
        /** It is malformed; the character does not belong to it. */
        FAILED
    }

    Status accept(char c);

    /** Inside a call that was handed on: what is malformed now can no longer be content. */
    boolean committed();
}
