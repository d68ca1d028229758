package io.millrace.gateway.parse;

/** Takes what a model's text turns out to be, in order. No piece is empty, none splits a character. */
public interface OutputSink {

    void content(String piece);

    void reasoning(String piece);

    /**
     * A call of a function begins; what belonged to an earlier one is complete.
     *
     * @param index of the call among those of the output, from 0
     */
    void call(int index, String name);

    /** More of the arguments of the call that began last: JSON, unless the model wrote something else. */
    void arguments(int index, String piece);
}
